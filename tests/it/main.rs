//! Integration tests: the real program against real engines.
//!
//! `scripts/test` starts the engines and says where they are; without them these tests fail, they are never skipped.
//! Every test that needs an engine exists once for each engine (`on_every_engine!`), and the tests of one engine run
//! one after another (`.config/nextest.toml`), because the builder's cache is the engine's and not the test's.
//!
//! | module | what it shows |
//! |---|---|
//! | `build` | images are built as Docker builds them; outputs, summary, exit status |
//! | `context` | the context that travels is the one that Docker's own client sends |
//! | `options` | every option of a build arrives in the engine, or is refused |
//! | `cache` | images of others as a cache |
//! | `image_cache` | the previous images are the cache: always, for every stage, never stale |
//! | `reasons` | why each step was not cached, with its evidence, and sizes |
//! | `generations` | builds in a row, each after a loss and an edit: never stale, no hit lost |
//! | `advice` | what would make a build faster, said where it is sure |
//! | `memory` | a large context takes little memory |
//! | `compose` | Compose projects: order, names, labels |
//! | `classic` | the classic builder: its cache, its failures, its context |
//! | `clear` | what a clear removes, keeps and proves |
//! | `remote_builder` | a BuildKit daemon at an address: TLS, loading, faults |
//! | `remote` | clears of what is at GitHub: package versions, caches of Actions |
//! | `registry` | tags of registries cleared, and registries that answer wrongly; needs no engine |
//! | `push` | images go to their registry, or it is said why not |
//! | `registry_cache` | the cache in a registry: for engines that have nothing, whatever happens to it |
//! | `faults` | bad input, dead engines, signals |
//! | `transport` | the ways to an engine's BuildKit, its going away |
//! | `gateway` | configs of local images, cache records written to us and read from us |
//! | `runner` | the action's image, started as the GitHub runner starts it |
//! | `act` | the README's workflows from end to end |
//! | `github` | what GitHub is told of a build, and what is done where it cannot be told |
//! | `ssh` | keys and agents in builds |
//! | `engine` | the engine API module on its own |
//! | `ledger` | ledgers: written, read, replaced by several at once |

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

mod act;
mod advice;
mod build;
mod cache;
mod classic;
mod clear;
mod compose;
mod context;
mod engine;
mod faults;
mod gateway;
mod generations;
mod github;
mod image_cache;
mod ledger;
mod memory;
mod options;
mod push;
mod reasons;
mod registry;
mod registry_cache;
mod remote;
mod remote_builder;
mod runner;
mod ssh;
mod transport;
