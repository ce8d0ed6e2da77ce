//! Records in a registry: read out of whatever a tag names, and written as an image manifest that BuildKit reads as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::export::bounded;
use super::limits::{Bounded, LAYERS, OFFER_BYTES};
use super::offer;
use super::wire::{CONFIG_MEDIA_TYPE, Descriptor};
use super::{Digest, Layer, Link, Record, Records, RecordsError};

const IMAGE_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// What is read by a person who comes upon a manifest.
const DESCRIPTION: &str = "org.opencontainers.image.description";
/// Manifests of an index: platforms and attestations.
const CHILDREN: usize = 1_024;

/// What a manifest is, for somebody who looks for records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A cache, in the form of an image manifest or of an index.
    Cache {
        /// The digest of the cache config.
        config: Digest,
    },
    /// An image, which may have records inside.
    Image {
        /// The digest of the image's config.
        config: Digest,
    },
    /// Images of several platforms.
    Index(Vec<Child>),
}

/// One manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// `os/architecture`, with `/variant` if it has one; empty if the index does not say.
    pub platform: String,
}

/// The manifest, as far as it tells what it is.
#[derive(Debug, Deserialize)]
struct Raw {
    #[serde(default)]
    manifests: Bounded<RawChild, { LAYERS + 1 }>,
    #[serde(default)]
    layers: Bounded<Descriptor, LAYERS>,
    config: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawChild {
    media_type: Option<String>,
    digest: Digest,
    platform: Option<Platform>,
}

#[derive(Debug, Default, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Bounded<Digest, LAYERS>,
}

/// Where a registry has a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The digest of what it has, which is compressed.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
}

/// Records as a registry keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheImage {
    /// The cache config.
    pub config: Bytes,
    /// The manifest that names it and the layers.
    pub manifest: Bytes,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageManifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<&'static str, String>,
}

impl Subject {
    /// What a manifest is.
    ///
    /// # Errors
    /// It is too large, cannot be read, or names nothing that could have records.
    pub fn of(manifest: &[u8]) -> Result<Self, RecordsError> {
        bounded(manifest)?;
        let raw: Raw = serde_json::from_slice(manifest).map_err(RecordsError::ParseManifest)?;
        let is_config = |media_type: &Option<String>| media_type.as_deref() == Some(CONFIG_MEDIA_TYPE);
        // BuildKit reads the last one.
        let listed = raw.manifests.0.iter().rev().find(|child| is_config(&child.media_type));
        if let Some(child) = listed {
            return Ok(Self::Cache { config: child.digest });
        }
        match raw.config {
            Some(config) if is_config(&config.media_type) => Ok(Self::Cache { config: config.digest }),
            Some(config) => Ok(Self::Image { config: config.digest }),
            None if raw.manifests.0.is_empty() => Err(RecordsError::NoManifest),
            None => Ok(Self::Index(raw.manifests.0.into_iter().take(CHILDREN).map(Child::from).collect())),
        }
    }
}

impl From<RawChild> for Child {
    fn from(raw: RawChild) -> Self {
        let Platform { os, architecture, variant } = raw.platform.unwrap_or_default();
        let words: Vec<String> = [os, architecture, variant].into_iter().filter(|word| !word.is_empty()).collect();
        Self { digest: raw.digest, platform: words.join("/") }
    }
}

/// The layers of an image in a registry by their diff ids: its manifest has the blobs, its config the diff ids, in the
/// same order.
///
/// # Errors
/// They cannot be read, or do not have the same number.
pub fn blobs(manifest: &[u8], config: &[u8]) -> Result<Vec<(Digest, Blob)>, RecordsError> {
    bounded(manifest)?;
    bounded(config)?;
    let manifest: Raw = serde_json::from_slice(manifest).map_err(RecordsError::ParseManifest)?;
    let config: Config = serde_json::from_slice(config).map_err(RecordsError::ParseConfig)?;
    let (layers, diff_ids) = (manifest.layers.0, config.rootfs.diff_ids.0);
    if layers.len() != diff_ids.len() {
        return Err(RecordsError::LayerCount { diff_ids: diff_ids.len(), layers: layers.len() });
    }
    let blob = |layer: Descriptor| Blob {
        digest: layer.digest,
        media_type: layer.media_type.unwrap_or_default(),
        size: layer.size,
    };
    Ok(diff_ids.into_iter().zip(layers.into_iter().map(blob)).collect())
}

impl Records {
    /// The records inside an image of a registry: its manifest and its config. Nothing when it has none.
    ///
    /// # Errors
    /// Whatever is wrong with any of them.
    pub fn from_registry_image(manifest: &[u8], config: &[u8]) -> Result<Option<Self>, RecordsError> {
        let layers = blobs(manifest, config)?.into_iter().map(|(diff_id, blob)| Layer {
            blob: blob.digest,
            diff_id,
            media_type: blob.media_type,
            size: blob.size,
            created_at: None,
            description: None,
        });
        Self::from_image_config_with_layers(config, &layers.collect::<Vec<_>>())
    }

    /// The same records with the layers as a registry has them, by diff id. Results with a layer that it does not have
    /// are left out.
    #[must_use]
    pub fn with_blobs(self, blobs: &HashMap<Digest, Blob>) -> Self {
        let has_all = |result: &super::ResultRef<'_>| {
            let mut layers = result.layers_from_top();
            layers.all(|layer| blobs.contains_key(&layer.diff_id))
        };
        let mut records = self.keep(has_all);
        let mut by_blob: HashMap<Digest, usize> = HashMap::new();
        let (mut layers, mut places) = (Vec::new(), Vec::new());
        for layer in std::mem::take(&mut records.layers) {
            // Every layer left has one.
            let layer = match blobs.get(&layer.diff_id) {
                Some(blob) => Layer {
                    blob: blob.digest,
                    media_type: oci_media_type(&blob.media_type).to_owned(),
                    size: blob.size,
                    ..layer
                },
                None => layer,
            };
            let next = layers.len();
            let place = *by_blob.entry(layer.blob).or_insert(next);
            if place == next {
                layers.push(layer);
            }
            places.push(place);
        }
        for chain in &mut records.chains {
            chain.layer = super::place(&places, chain.layer);
        }
        records.layers = layers;
        records
    }

    /// Of these records the results that a build could ask for which has `current`: those of records that have a
    /// derivation in common with one of its records (as BuildKit compares them: the same digest, and at every input a
    /// common source). The rest is about files that are no more.
    #[must_use]
    pub fn of_the_same_build(self, current: &Self) -> Self {
        let mut by_digest: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (index, record) in current.records.iter().enumerate() {
            by_digest.entry(record.digest).or_default().push(index);
        }
        // Links lead to earlier records, so what is below has been looked at.
        let mut matches: Vec<BTreeSet<usize>> = Vec::with_capacity(self.records.len());
        for record in &self.records {
            let candidates = by_digest.get(&record.digest).into_iter().flatten().copied();
            let same = candidates.filter(|index| {
                current.records.get(*index).is_some_and(|other| have_a_common_derivation(record, other, &matches))
            });
            let same = same.collect();
            matches.push(same);
        }
        let mut records = self;
        for (record, same) in records.records.iter_mut().zip(&matches) {
            if same.is_empty() {
                record.results.clear();
            }
        }
        records.pruned()
    }

    /// As a registry keeps them at `tag`; nothing when there are none, or too many for BuildKit. It is no other tag's: of two
    /// tags with one manifest neither can be deleted alone, and a pull request that changes nothing has the records of its base.
    #[must_use]
    pub fn to_cache_image(&self, tag: &str) -> Option<CacheImage> {
        if self.is_empty() {
            return None;
        }
        let config =
            serde_json::to_vec(&offer::config(self, None)).ok().filter(|config| config.len() <= OFFER_BYTES)?;
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: IMAGE_MEDIA_TYPE,
            config: Descriptor {
                media_type: Some(CONFIG_MEDIA_TYPE.to_owned()),
                digest: Digest::of(&config),
                size: u64::try_from(config.len()).ok()?,
                annotations: None,
            },
            layers: self.layers.iter().map(Descriptor::of).collect(),
            annotations: [(DESCRIPTION, description(tag))].into(),
        };
        let manifest = serde_json::to_vec(&manifest).ok().filter(|manifest| manifest.len() <= OFFER_BYTES)?;
        Some(CacheImage { config: config.into(), manifest: manifest.into() })
    }
}

/// What a person reads who comes upon a cache.
fn description(tag: &str) -> String {
    format!("the cache that builds write at the tag {tag}")
}

/// The manifest of a cache that BuildKit has written, as that of `tag` and no other ([`Records::to_cache_image`]); `None` if it is that
/// already, or no manifest.
#[must_use]
pub fn of_its_own(manifest: &[u8], tag: &str) -> Option<Bytes> {
    let mut manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    let annotations = manifest.as_object_mut()?.entry("annotations").or_insert_with(|| serde_json::json!({}));
    let own = serde_json::Value::from(description(tag));
    let before = annotations.as_object_mut()?.insert(DESCRIPTION.to_owned(), own.clone());
    if before == Some(own) {
        return None;
    }
    Some(serde_json::to_vec(&manifest).ok()?.into())
}

impl CacheImage {
    /// What stands at `tag` when nothing is to be there: as small as a manifest can be
    /// ([OCI image specification](https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md), "Guidance for an
    /// Empty Descriptor"), and no other tag's, so that to delete it is to delete this tag alone.
    #[must_use]
    pub fn nothing(tag: &str) -> Self {
        let config = Bytes::from_static(b"{}");
        let empty = || Descriptor {
            media_type: Some(EMPTY_MEDIA_TYPE.to_owned()),
            digest: Digest::of(&config),
            size: 2,
            annotations: None,
        };
        let said =
            format!("the tag {tag} is where a build sends the layers of its cache; there is nothing here in between");
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: IMAGE_MEDIA_TYPE,
            config: empty(),
            layers: vec![empty()],
            annotations: [(DESCRIPTION, said)].into(),
        };
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
        Self { config, manifest: manifest.into() }
    }
}

/// Whether two records share a derivation; `matches` says which records of the other set each earlier one shares one with.
fn have_a_common_derivation(one: &Record, other: &Record, matches: &[BTreeSet<usize>]) -> bool {
    let same = |link: &Link, theirs: &Link| {
        link.selector == theirs.selector
            && matches.get(link.record).is_some_and(|matches| matches.contains(&theirs.record))
    };
    one.inputs.len() == other.inputs.len()
        && one
            .inputs
            .iter()
            .zip(&other.inputs)
            .all(|(links, theirs)| links.iter().any(|link| theirs.iter().any(|theirs| same(link, theirs))))
}

/// Docker pushes layers under its own names; in a manifest of OCI's they have OCI's.
fn oci_media_type(media_type: &str) -> &str {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => "application/vnd.oci.image.layer.v1.tar+gzip",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::{Blob, CacheImage, Child, Digest, Records, Subject, blobs, of_its_own};

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    /// A step upon a base, and a file of this content copied upon that; each with a layer called after it.
    fn build(content: &str) -> Records {
        let layer = |name: &str| json!({"blob": digest(name), "mediaType": "m", "size": 1});
        let copied = format!("copied {content}");
        let stored = json!({
            "layers": [layer("step"), layer(&copied)],
            "chains": [[0, -1], [1, 0]],
            "records": [
                {"digest": digest("base")},
                {"digest": digest(content)},
                {"digest": digest("step"), "inputs": [[["", 0]]], "results": [[0, null]]},
                {"digest": digest("copy"), "inputs": [[["", 2]], [["", 1]]], "results": [[1, null]]},
            ],
        });
        serde_json::from_value(stored).unwrap()
    }

    fn in_registry(records: Records) -> Records {
        let blob = |name: &str| Blob {
            digest: digest(&format!("compressed {name}")),
            media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned(),
            size: 7,
        };
        let known = ["step", "copied one"].map(|name| (digest(name), blob(name)));
        records.with_blobs(&HashMap::from(known))
    }

    #[test]
    fn layers_are_those_of_the_registry() {
        let records = in_registry(build("one"));
        assert_eq!(records.count_with_results(), 2);
        let layer = &records.layers()[0];
        assert_eq!((layer.blob, layer.diff_id, layer.size), (digest("compressed step"), digest("step"), 7));
        assert_eq!(layer.media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
        // What the registry does not have is no result.
        assert_eq!(in_registry(build("two")).count_with_results(), 1);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let records = in_registry(build("one"));
        let CacheImage { config, manifest } = records.to_cache_image("main-cache").unwrap();
        assert_eq!(Subject::of(&manifest).unwrap(), Subject::Cache { config: Digest::of(&config) });
        assert_eq!(Records::from_export(&manifest, &config).unwrap(), records);
        assert_ne!(records.to_cache_image("main-pr-7-cache").unwrap().manifest, manifest, "each tag has its own");
        assert_eq!(Records::default().to_cache_image("main-cache"), None);

        let other = of_its_own(&manifest, "main-pr-7-cache").unwrap();
        assert_eq!(Records::from_export(&other, &config).unwrap(), records);
        assert_eq!(of_its_own(&other, "main-pr-7-cache"), None);
        assert_eq!(of_its_own(b"[]", "main-cache"), None);
    }

    #[test]
    fn nothing_is_no_cache_and_another_for_each_tag() {
        let CacheImage { config, manifest } = CacheImage::nothing("main-layers-cache");
        assert_eq!(Subject::of(&manifest).unwrap(), Subject::Image { config: Digest::of(&config) });
        assert!(!matches!(Records::from_registry_image(&manifest, &config), Ok(Some(_))));
        assert_ne!(CacheImage::nothing("x-layers-cache").manifest, manifest);
    }

    #[test]
    fn of_before_what_the_build_can_ask_for_is_carried_on() {
        let (before, now) = (build("one"), build("two"));
        let carried = before.clone().of_the_same_build(&now);
        // The copy of another content has the same operation.
        assert_eq!(carried.layers().iter().map(|layer| layer.diff_id).collect::<Vec<_>>(), [digest("step")]);
        assert_eq!(before.clone().of_the_same_build(&before), before);
        assert!(before.of_the_same_build(&Records::default()).is_empty());
    }

    #[test]
    fn subjects() {
        let (one, other) = (digest("1"), digest("2"));
        let kind = "application/vnd.buildkit.cacheconfig.v0";
        let of = |manifest: serde_json::Value| Subject::of(manifest.to_string().as_bytes()).ok();
        let config = |kind: &str| json!({"mediaType": kind, "digest": one, "size": 1});
        assert_eq!(of(json!({"config": config(kind), "layers": null})), Some(Subject::Cache { config: one }));
        assert_eq!(of(json!({"config": config("x"), "layers": []})), Some(Subject::Image { config: one }));
        assert_eq!(of(json!({"manifests": [config("x"), config(kind)]})), Some(Subject::Cache { config: one }));
        let platform = json!({"os": "linux", "architecture": "arm", "variant": "v7"});
        let index = json!({"manifests": [{"digest": one, "platform": platform}, {"digest": other}]});
        let child = |digest, platform: &str| Child { digest, platform: platform.to_owned() };
        assert_eq!(of(index), Some(Subject::Index(vec![child(one, "linux/arm/v7"), child(other, "")])));
        assert_eq!((of(json!({})), of(json!([]))), (None, None));
        assert!(Subject::of(&vec![b' '; 5 << 20]).is_err());
    }

    #[test]
    fn an_image_with_another_number_of_layers_is_refused() {
        let manifest = json!({"layers": [{"mediaType": "m", "digest": digest("blob"), "size": 3}]}).to_string();
        let config = |ids: &[Digest]| json!({"rootfs": {"diff_ids": ids}}).to_string();
        let found = blobs(manifest.as_bytes(), config(&[digest("layer")]).as_bytes()).unwrap();
        let blob = Blob { digest: digest("blob"), media_type: "m".to_owned(), size: 3 };
        assert_eq!(found, [(digest("layer"), blob)]);
        assert!(blobs(manifest.as_bytes(), config(&[]).as_bytes()).is_err());
    }
}
