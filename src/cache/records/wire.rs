//! The JSON that BuildKit reads and writes: manifests and cache configs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::limits::{ALTERNATIVES, Bounded, DEPTH, INPUTS, LAYERS, RECORDS, RESULTS};
use super::{Digest, Layer};

/// `cache/remotecache/v1/types`, `CacheConfigMediaTypeV0`.
pub(super) const CONFIG_MEDIA_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// OCI image index.
pub(super) const INDEX_MEDIA_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// A layer's diff id, for BuildKit and containerd.
const UNCOMPRESSED: &str = "containerd.io/uncompressed";
const CREATED_AT: &str = "buildkit/createdat";
const DESCRIPTION: &str = "buildkit/description";

/// A cache manifest of either form: an image index lists layers and config in `manifests`, an image manifest in `layers`
/// and `config`.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) manifests: Bounded<Descriptor, { LAYERS + 1 }>,
    #[serde(default)]
    pub(super) layers: Bounded<Descriptor, LAYERS>,
    pub(super) config: Option<Descriptor>,
}

impl Manifest {
    /// The cache config's descriptor, and those of the layers.
    pub(super) fn split(self) -> Option<(Descriptor, Vec<Descriptor>)> {
        let is_config = |descriptor: &Descriptor| descriptor.media_type.as_deref() == Some(CONFIG_MEDIA_TYPE);
        let (configs, mut layers): (Vec<_>, Vec<_>) = self.manifests.0.into_iter().partition(is_config);
        layers.extend(self.layers.0);
        // BuildKit reads the last one.
        let config = configs.into_iter().chain(self.config.filter(is_config)).next_back()?;
        Some((config, layers))
    }
}

/// `github.com/opencontainers/image-spec`, `Descriptor`; `null` annotations are none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<String>,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// The layer that it describes; nothing without the diff id, which BuildKit needs.
    pub(super) fn layer(self) -> Option<Layer> {
        let mut annotations = self.annotations.unwrap_or_default();
        Some(Layer {
            blob: self.digest,
            diff_id: annotations.get(UNCOMPRESSED)?.parse().ok()?,
            media_type: self.media_type?,
            size: self.size,
            created_at: annotations.remove(CREATED_AT),
            description: annotations.remove(DESCRIPTION),
        })
    }

    pub(super) fn of(layer: &Layer) -> Self {
        let optional = [(CREATED_AT, &layer.created_at), (DESCRIPTION, &layer.description)];
        let mut annotations = BTreeMap::from([(UNCOMPRESSED.to_owned(), layer.diff_id.to_string())]);
        annotations
            .extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.as_ref()?.clone()))));
        Self {
            media_type: Some(layer.media_type.clone()),
            digest: layer.blob,
            size: layer.size,
            annotations: Some(annotations),
        }
    }
}

/// `CacheConfig`, as it is read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config<'a> {
    #[serde(default)]
    pub(super) layers: Bounded<ConfigLayer, LAYERS>,
    #[serde(default, borrow)]
    pub(super) records: Bounded<ConfigRecord<'a>, RECORDS>,
}

/// `CacheLayer`. A missing parent is 0, as Go leaves zeros out; the root is -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConfigLayer {
    pub(super) blob: Digest,
    #[serde(default)]
    pub(super) parent: i64,
}

/// `CacheRecord`, as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigRecord<'a> {
    #[serde(borrow)]
    pub(super) digest: Cow<'a, str>,
    #[serde(default)]
    pub(super) inputs: Bounded<Bounded<ConfigLink, ALTERNATIVES>, INPUTS>,
    #[serde(default)]
    pub(super) layers: Bounded<ConfigResult<'a>, RESULTS>,
    #[serde(default)]
    pub(super) chains: Bounded<ConfigChain<'a>, RESULTS>,
}

/// `CacheInput`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConfigLink {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) selector: String,
    #[serde(default)]
    pub(super) link: i64,
}

/// `CacheResult`: a layer with all its parents. Go reads names in any case, and the documentation writes `createdat`.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigResult<'a> {
    #[serde(default)]
    pub(super) layer: i64,
    #[serde(borrow, default, rename = "createdAt", alias = "createdat")]
    pub(super) created_at: Option<Cow<'a, str>>,
}

/// `ChainedResult`: layers without their parents, lowest first (`COPY --link`).
#[derive(Debug, Deserialize)]
pub(super) struct ConfigChain<'a> {
    #[serde(default)]
    pub(super) layers: Bounded<i64, DEPTH>,
    #[serde(borrow, default, rename = "createdAt", alias = "createdat")]
    pub(super) created_at: Option<Cow<'a, str>>,
}

/// What [`Config`] reads, as it is written.
#[derive(Debug, Serialize)]
pub(super) struct OfferedConfig {
    pub(super) layers: Vec<ConfigLayer>,
    pub(super) records: Vec<OfferedRecord>,
}

#[derive(Debug, Serialize)]
pub(super) struct OfferedRecord {
    pub(super) digest: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) layers: Vec<OfferedResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) inputs: Vec<Vec<ConfigLink>>,
}

#[derive(Debug, Serialize)]
pub(super) struct OfferedResult {
    pub(super) layer: usize,
    /// Without it BuildKit reads the year 1.
    #[serde(rename = "createdAt", skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<DateTime<Utc>>,
}

/// An image index, as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfferedIndex {
    pub(super) schema_version: u8,
    pub(super) media_type: &'static str,
    pub(super) manifests: Vec<Descriptor>,
}
