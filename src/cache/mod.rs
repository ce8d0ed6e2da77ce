//! The image cache: previous images as BuildKit's cache, with the records that make them one kept beside them.
//!
//! A *record* says which cache key produced which layers. BuildKit can only reuse an image when it has its records; inside
//! the image (inline cache) they could not be cleared. They are kept in *ledgers*: tiny images in the reserved namespace.

pub mod evidence;
pub mod ledger;
pub mod records;
