//! Why records cannot be used.

/// Why records cannot be used. None of them fails a build: it then runs without these records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// A document is larger, or holds more, than any build writes (see `limits`).
    #[error("read cache records: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// The manifest of a cache export is not one.
    #[error("parse cache manifest")]
    ParseManifest(#[source] serde_json::Error),
    /// The cache config is not one.
    #[error("parse cache config")]
    ParseConfig(#[source] serde_json::Error),
    /// The config of an image is not one.
    #[error("parse image config")]
    ParseImageConfig(#[source] serde_json::Error),
    /// The records inside an image's config are not base64.
    #[error("decode inline cache records")]
    DecodeInline(#[source] base64::DecodeError),
    /// The records inside an image's config are none.
    #[error("parse inline cache records")]
    ParseInline(#[source] serde_json::Error),
    /// No blob of the export is a manifest whose cache config is there too.
    #[error("find cache manifest: no blob of the export is one")]
    NoManifest,
    /// More than one blob of the export is such a manifest.
    #[error("find cache manifest: more than one blob of the export is one")]
    ManyManifests,
    /// The bytes are not those that the digest names.
    #[error("check blob '{digest}': its content has another digest")]
    ContentMismatch {
        /// The digest that names the blob.
        digest: String,
    },
    /// A digest that is not `sha256:` and 64 lowercase hexadecimal digits.
    #[error("check digest of record {record}: not a sha256 digest")]
    InvalidDigest {
        /// The record's index.
        record: usize,
    },
    /// A record refers to one that does not exist, or not yet where the order is ours.
    #[error("check record {record}: its input refers to record {link}")]
    UnknownRecord {
        /// The record's index.
        record: usize,
        /// What it refers to.
        link: i64,
    },
    /// An input of a record has no alternative.
    #[error("check record {record}: one of its inputs is empty")]
    EmptyInput {
        /// The record's index.
        record: usize,
    },
    /// A record leads to itself.
    #[error("check record {record}: it is an input of itself")]
    RecordLoop {
        /// The index of a record on the loop.
        record: usize,
    },
    /// Something refers to a layer that does not exist, or not yet where the order is ours.
    #[error("check layers: index {layer} does not exist")]
    UnknownLayer {
        /// The index.
        layer: i64,
    },
    /// A layer is its own ancestor.
    #[error("check layer {layer}: it is a parent of itself")]
    LayerLoop {
        /// The index of a layer on the loop.
        layer: usize,
    },
    /// A time that is not RFC 3339.
    #[error("check record {record}: its result has no valid time")]
    InvalidTime {
        /// The record's index.
        record: usize,
    },
    /// A text that is too long or empty, or a size below zero, where a layer is described.
    #[error("check layer '{blob}': its description is not valid")]
    InvalidLayer {
        /// The layer's digest.
        blob: String,
    },
    /// Two layers of the ledger's form have the same digest.
    #[error("check layer '{blob}': it is there twice")]
    RepeatedLayer {
        /// The layer's digest.
        blob: String,
    },
    /// An image with another number of layers than its manifest.
    #[error("match image layers: config has {diff_ids}, manifest has {layers}")]
    LayerCount {
        /// How many the image's config lists.
        diff_ids: usize,
        /// How many were given.
        layers: usize,
    },
}

impl RecordsError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => {
                "Build the image in fewer stages, or set `cache-key` so that it has a ledger of its own."
            }
            Self::NoManifest | Self::ManyManifests => {
                "Run the build again; the engine's cache export was not complete."
            }
            _ => "Run `mode: clear` for this image once: its next build writes new cache records.",
        }
    }
}
