//! Records out of a cache export of `type=local`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::limits::DOCUMENT_BYTES;
use super::wire::{Config, Descriptor, Manifest};
use super::{Digest, Records, RecordsError};

impl Records {
    /// Reads a cache export: its manifest, in the form of an image index or of an image manifest, and its cache config.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with either of them, or the config is not the one that the manifest names.
    pub fn from_export(manifest: &[u8], config: &[u8]) -> Result<Self, RecordsError> {
        bounded(manifest)?;
        bounded(config)?;
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(RecordsError::ParseManifest)?;
        let (descriptor, layers) = manifest.split().ok_or(RecordsError::NoManifest)?;
        if Digest::of(config) != descriptor.digest {
            return Err(RecordsError::ContentMismatch { digest: descriptor.digest.to_string() });
        }
        let config: Config<'_> = serde_json::from_slice(config).map_err(RecordsError::ParseConfig)?;
        Self::check(layers.into_iter().filter_map(Descriptor::layer).collect(), &config)
    }

    /// Reads a cache export out of the blobs that it wrote, by digest. Layers among them are not looked at.
    ///
    /// # Errors
    ///
    /// As [`from_export`](Self::from_export); and unless exactly one blob is a manifest whose config is there too.
    pub fn from_exported_blobs(blobs: &BTreeMap<String, Bytes>) -> Result<Self, RecordsError> {
        let mut found = blobs.iter().filter_map(|(digest, blob)| {
            let manifest = serde_json::from_slice::<Manifest>(blob.get(..DOCUMENT_BYTES).unwrap_or(blob)).ok()?;
            let (config, _) = manifest.split()?;
            Some((digest, blob, blobs.get(&config.digest.to_string())?))
        });
        let (digest, manifest, config) = found.next().ok_or(RecordsError::NoManifest)?;
        if found.next().is_some() {
            return Err(RecordsError::ManyManifests);
        }
        if Digest::of(manifest).to_string() != *digest {
            return Err(RecordsError::ContentMismatch { digest: digest.clone() });
        }
        Self::from_export(manifest, config)
    }
}

/// Refuses a document that is too large to be parsed.
pub(super) fn bounded(document: &[u8]) -> Result<(), RecordsError> {
    match document.len() {
        0..=DOCUMENT_BYTES => Ok(()),
        _ => Err(RecordsError::TooLarge { what: "bytes in a document", limit: DOCUMENT_BYTES }),
    }
}
