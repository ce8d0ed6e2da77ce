//! What every test needs: engines, projects, and the program run as a runner runs it.

mod action;
mod builder;
mod engine;
mod export;
mod gate;
pub(crate) mod github;
mod images;
mod long;
mod network;
mod peer;
mod project;
mod proxy;
mod registry;

pub(crate) use action::{Action, Finished};
pub(crate) use builder::Builder;
pub(crate) use engine::{Engine, engine, shared_engine};
pub(crate) use export::exported;
pub(crate) use gate::Gate;
pub(crate) use images::Images;
pub(crate) use long::{LongBuild, LongStep};
pub(crate) use network::{certificates, root};
pub(crate) use peer::{command, docker};
pub(crate) use project::{Project, unique};
pub(crate) use proxy::{Manner, Meanwhile, Proxy};
pub(crate) use registry::Registry;

/// One test for each engine: `on_every_engine!(name, |engine| …)`.
macro_rules! on_every_engine {
    ($name:ident, $body:expr) => {
        mod $name {
            use super::*;

            fn run(name: &str) {
                let body: fn(&crate::support::Engine) = $body;
                body(&crate::support::engine(name));
            }

            #[test]
            fn engine_20_10() {
                run("20.10");
            }

            #[test]
            fn engine_28_graph() {
                run("28-graph");
            }

            #[test]
            fn engine_28_containerd() {
                run("28-containerd");
            }
        }
    };
}
pub(crate) use on_every_engine;
