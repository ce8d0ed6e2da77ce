//! What a ledger says about builds: the images that they made, their steps, how long they took.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cache::records::Records;
use crate::outcome::build::CacheSource;

/// An engine's id of an image: `sha256:` and 64 hexadecimal digits in lower case.
///
/// What a ledger names is asked for and removed by its id; a text that the engine would take for a name is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

/// A text is not an image's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the id of an image")]
pub struct ImageIdError(String);

/// An image that a build made and that is kept as a cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedImage {
    /// What it is.
    pub role: Role,
    /// A name that it was given: `app:latest`, `watchparty-cache/stage:…`.
    pub reference: String,
    /// The engine's id of it.
    pub id: ImageId,
    /// Which cache keys its layers answer to.
    pub records: Records,
}

/// What was known of an image at an earlier build: of layers that the builder may still have, under keys that it may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Which image.
    pub role: Role,
    /// [`CachedImage::records`] as they were, of results that the image has not any more.
    pub records: Records,
}

/// What a cached image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The image that was asked for.
    Final,
    /// An intermediate stage, exported to keep its layers.
    Stage {
        /// The stage's name, or its number if it has none.
        name: String,
    },
}

/// One step of the last build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepFact {
    /// The stage, if the Dockerfile names it.
    pub stage: Option<String>,
    /// Position in the stage, from 1.
    pub position: u32,
    /// The instruction, the values of build arguments replaced by their names: `RUN make VERSION=$VERSION`.
    pub instruction: String,
    /// Whether it came from a cache.
    pub cached: bool,
    /// From which.
    pub source: CacheSource,
    /// How long it took; of a cached step, to unpack its layer.
    pub seconds: f64,
    /// How long it took when it last ran, in this build or an earlier one, if that is known.
    #[serde(default, rename = "ranSeconds", skip_serializing_if = "Option::is_none")]
    pub ran_seconds: Option<f64>,
}

/// One of the last builds. A build that found everything as it was leaves none: to write it down would take longer than
/// much of such a build (a ledger is written in 10 to 170 ms, by engine and store).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildRecord {
    /// The same for all images of one run, and for no other run; `None` in ledgers of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// The commit that was built.
    pub commit: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// How long the whole run took, until its ledgers were written; `None` in ledgers of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_seconds: Option<f64>,
    /// Steps that came from a cache.
    pub cached: u32,
    /// All its steps.
    pub total: u32,
    /// Whether there was anything to come from a cache.
    pub kind: BuildKind,
    /// Bytes of the final image, if the engine said so.
    pub image_bytes: Option<u64>,
    /// What the cache cost it and spared it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_times: Option<CacheTimes>,
}

/// What a cache cost a build and what it spared it, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CacheTimes {
    /// Time to import records, to unpack layers of cached steps, and to keep what was built.
    pub costs: f64,
    /// Time that the cached steps took when they last ran.
    pub spares: f64,
}

/// Builds are compared with builds of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BuildKind {
    /// With a cache.
    Warm,
    /// Without one.
    Cold,
}

impl ImageId {
    /// The text: `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ImageId {
    type Error = ImageIdError;

    fn try_from(text: String) -> Result<Self, ImageIdError> {
        let is_id = text
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        if is_id { Ok(Self(text)) } else { Err(ImageIdError(text)) }
    }
}

impl std::str::FromStr for ImageId {
    type Err = ImageIdError;

    fn from_str(text: &str) -> Result<Self, ImageIdError> {
        text.to_owned().try_into()
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::ImageId;

    #[test]
    fn an_id_is_never_a_name() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(format!("sha256:{hex}").parse::<ImageId>().is_ok());
        for text in
            ["", "app:latest", "sha256:", &hex, &format!("sha256:{}", hex.to_uppercase()), "sha256:0123456789ab"]
        {
            assert!(text.parse::<ImageId>().is_err(), "{text}");
            assert!(serde_json::from_value::<ImageId>(text.into()).is_err(), "{text}");
        }
    }
}
