//! Records out of an image's config: inline cache (`remotecache/import.go`, `importInlineCache`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::export::bounded;
use super::limits::{Bounded, DEPTH};
use super::wire::{Config, ConfigLayer};
use super::{Digest, Layer, Records, RecordsError};

/// What the graph driver's exporter calls its layers; it neither compresses them nor knows their blobs.
const GRAPH_DRIVER_MEDIA_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Entries of a history: as many instructions as a Dockerfile may have.
const HISTORY: usize = 10_000;

/// The part of an image config that is read.
#[derive(Deserialize)]
struct ImageConfig {
    #[serde(default)]
    rootfs: RootFs,
    #[serde(default)]
    history: Bounded<History, HISTORY>,
    /// The records of a cache config, in base64.
    #[serde(rename = "moby.buildkit.cache.v0")]
    cache: Option<String>,
}

#[derive(Default, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Bounded<Digest, DEPTH>,
}

#[derive(Deserialize)]
struct History {
    created: Option<String>,
    created_by: Option<String>,
    #[serde(default)]
    empty_layer: bool,
}

impl Records {
    /// Reads the records inside the raw config of an image of the graph driver, whose layers are its diff ids. Nothing
    /// when it has none.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the config or its records.
    pub fn from_image_config(raw: &[u8]) -> Result<Option<Self>, RecordsError> {
        let image = ImageConfig::parse(raw)?;
        let layers = image.rootfs.diff_ids.0.iter().map(|diff_id| Layer {
            blob: *diff_id,
            diff_id: *diff_id,
            media_type: GRAPH_DRIVER_MEDIA_TYPE.to_owned(),
            size: 1,
            created_at: None,
            description: None,
        });
        let layers = layers.collect();
        image.records(layers)
    }

    /// Reads the records inside the raw config of an image of the containerd store; `layers` are those of the image's
    /// manifest, lowest first. Nothing when it has no records.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the config or its records, and layers that are not the config's.
    pub fn from_image_config_with_layers(raw: &[u8], layers: &[Layer]) -> Result<Option<Self>, RecordsError> {
        let image = ImageConfig::parse(raw)?;
        let diff_ids = &image.rootfs.diff_ids.0;
        if diff_ids.len() != layers.len() {
            return Err(RecordsError::LayerCount { diff_ids: diff_ids.len(), layers: layers.len() });
        }
        if let Some((layer, _)) = layers.iter().zip(diff_ids).find(|(layer, diff_id)| layer.diff_id != **diff_id) {
            return Err(RecordsError::InvalidLayer { blob: layer.blob.to_string() });
        }
        image.records(layers.to_vec())
    }
}

impl ImageConfig {
    fn parse(raw: &[u8]) -> Result<Self, RecordsError> {
        bounded(raw)?;
        serde_json::from_slice(raw).map_err(RecordsError::ParseImageConfig)
    }

    /// The records upon the image's layers, which the history tells when and by what they were made.
    fn records(self, mut layers: Vec<Layer>) -> Result<Option<Records>, RecordsError> {
        let Some(cache) = self.cache.filter(|cache| !cache.is_empty()) else { return Ok(None) };
        let json = STANDARD.decode(cache).map_err(RecordsError::DecodeInline)?;
        let history = self.history.0.into_iter().filter(|entry| !entry.empty_layer);
        for (layer, entry) in layers.iter_mut().zip(history) {
            layer.created_at = entry.created.filter(|text| !text.is_empty()).or(layer.created_at.take());
            layer.description = entry.created_by.filter(|text| !text.is_empty()).or(layer.description.take());
        }
        let chain = (-1..).zip(&layers).map(|(parent, layer)| ConfigLayer { blob: layer.blob, parent }).collect();
        let records = serde_json::from_slice(&json).map_err(RecordsError::ParseInline)?;
        Records::check(layers, &Config { layers: Bounded(chain), records }).map(Some)
    }
}
