//! Ledgers: what is known of the image cache of one image, for one Git reference.
//!
//! A ledger is found by its *key*: whose cache it is ([`Identity`]) and which builds write it ([`Scope`]). The key is
//! hashed into the name of the image that holds it (`names`) and stands in the document as well, so that a ledger that was
//! put in another's place is refused. Storing them is the engine's part ([`crate::engine::LedgerContent`]).

mod build;
mod document;
mod identity;
mod label;
mod names;
mod scope;

pub use build::{BuildKind, BuildRecord, CacheTimes, CachedImage, Earlier, ImageId, ImageIdError, Role, StepFact};
pub use document::{Build, EARLIER, EncodeError, HISTORY, Ledger, MAX_DOCUMENT, Refusal, Salt};
pub use identity::{Identity, Subject, identities};
pub use label::{LedgerLabel, StageLabel};
pub use names::{CAPTURE_REPOSITORY, LedgerKey, STAGE_REPOSITORY, capture_name};
pub use scope::{Access, Scope};
