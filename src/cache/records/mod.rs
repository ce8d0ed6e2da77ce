//! Cache records: BuildKit's cache config (`cache/remotecache/v1`), read, checked, merged and served.

use serde::{Deserialize, Serialize};

/// A checked set of records, with the layers that they lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {}
