//! Images of an engine: what there is, what they take, tagging and removing.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ImageInspect, ImageSummary};
use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions, TagImageOptions};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::info::ApiVersion;
use super::{Engine, EngineError};
use crate::image::ImageReference;

/// Where `/system/df` learnt to leave everything but images out.
pub(super) const DF_TYPES_API: ApiVersion = ApiVersion { major: 1, minor: 42 };
/// Measuring images and, on Docker 20.10, volumes and containers with them, takes minutes on a large host.
pub(super) const DF_TIMEOUT: Duration = Duration::from_secs(600);

/// While a build is at work, Docker 28 may stumble over a snapshot that goes away while it measures: `snapshot … does not
/// exist`, with status 404.
const DF_ATTEMPTS: u32 = 10;
const DF_PAUSE: Duration = Duration::from_millis(200);

/// An image of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The engine's id: the config's digest on a graph driver, the manifest's or index's on the containerd store.
    pub id: String,
    /// Its names with tags, as the engine gives them: `app:latest`, `ghcr.io/org/app:1`.
    pub tags: Vec<String>,
    /// Its names with digests, as `ghcr.io/org/app@sha256:…`.
    pub digests: Vec<String>,
    /// When it was made; `None` if it does not say.
    pub created: Option<DateTime<Utc>>,
    /// Bytes, layers that other images use as well included.
    pub size: u64,
    /// Bytes of layers that other images use as well, if the engine was asked to find out.
    pub shared_size: Option<u64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The image that the classic builder made it from.
    pub parent: Option<String>,
}

/// Images and the room that they take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The images, with [`Image::shared_size`].
    pub images: Vec<Image>,
    /// Bytes of all layers of the image store together, each once. Not the same as the sum of the images: with a graph
    /// driver it counts layers that only the builder's records hold, too.
    pub layers_size: u64,
}

/// More about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetails {
    /// The engine's id.
    pub id: String,
    /// Digests of the uncompressed layers, the lowest first.
    pub layers: Vec<String>,
    /// The labels of its configuration.
    pub labels: BTreeMap<String, String>,
    /// Its names with tags.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
}

/// What becomes of the untagged images that an image was made from by the classic builder: they are its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parents {
    /// They go with it, as far as nothing else uses them.
    Remove,
    /// They stay.
    Keep,
}

/// What the engine says it did to remove an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Names that were taken away.
    pub untagged: Vec<String>,
    /// Ids of images (and, on a graph driver, layers) that are gone.
    pub deleted: Vec<String>,
}

impl Engine {
    /// The images, without the intermediate ones of the classic builder, as `docker images` shows them.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn images(&self) -> Result<Vec<Image>, EngineError> {
        let images = self.docker.list_images(None::<ListImagesOptions>).await;
        let images = images.map_err(|error| self.failed("list images".to_owned(), error))?;
        Ok(images.into_iter().map(Image::from).collect())
    }

    /// The images with the room that they take, in the engine's own figures. Slow: it measures.
    ///
    /// Not through bollard: 0.21.1 reads the shape of API 1.52 only, and finds nothing in an older engine's answer.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn image_usage(&self) -> Result<ImageUsage, EngineError> {
        let target = if self.info.negotiated() >= DF_TYPES_API { "/system/df?type=image" } else { "/system/df" };
        let mut attempts = DF_ATTEMPTS;
        let usage: RawUsage = loop {
            match self.transport.get("measure the images", target, DF_TIMEOUT).await {
                Err(error) if error.is_not_found() && attempts > 1 => {
                    attempts -= 1;
                    tokio::time::sleep(DF_PAUSE).await;
                }
                answer => break answer?,
            }
        };
        Ok(ImageUsage {
            images: usage.images.unwrap_or_default().into_iter().map(Image::from).collect(),
            layers_size: usage.layers_size.map_or(0, bytes),
        })
    }

    /// Looks at one image, by name or id; `None` if there is no such image.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn inspect_image(&self, image: &str) -> Result<Option<ImageDetails>, EngineError> {
        match self.docker.inspect_image(image).await {
            Ok(details) => Ok(Some(details.into())),
            Err(error) => match self.failed(format!("look at image {image}"), error) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Removes a name, and the image with its last name; or an image by its id.
    ///
    /// Never by force: the engine refuses while a container uses the image, also one that was started after we looked.
    ///
    /// # Errors
    /// [`EngineError`]; status 404 if it is not there, 409 if something uses it.
    pub async fn remove_image(&self, image: &str, parents: Parents) -> Result<Deleted, EngineError> {
        let options = RemoveImageOptions { force: false, noprune: parents == Parents::Keep, platforms: None };
        let items = self.docker.remove_image(image, Some(options), None).await;
        let items = items.map_err(|error| self.failed(format!("remove image {image}"), error))?;
        let mut deleted = Deleted::default();
        for item in items {
            deleted.untagged.extend(item.untagged);
            deleted.deleted.extend(item.deleted);
        }
        Ok(deleted)
    }

    /// Gives an image one more name. An image that had the name loses it.
    ///
    /// # Errors
    /// [`EngineError`]; status 404 if there is no such image.
    pub async fn tag_image(&self, image: &str, name: &ImageReference) -> Result<(), EngineError> {
        let options = TagImageOptions { repo: Some(name.repository()), tag: name.tag().map(str::to_owned) };
        let tagged = self.docker.tag_image(image, Some(options)).await;
        tagged.map_err(|error| self.failed(format!("tag image {image} as {name}"), error))
    }
}

/// The parts of `GET /system/df` that matter here, in the shape that every API up to 1.51 has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawUsage {
    layers_size: Option<i64>,
    images: Option<Vec<ImageSummary>>,
}

impl From<ImageSummary> for Image {
    fn from(image: ImageSummary) -> Self {
        // Engines before 25.0 give an image without names the name `<none>:<none>`.
        let named = |names: Vec<String>| names.into_iter().filter(|name| !name.contains("<none>")).collect();
        Self {
            id: image.id,
            tags: named(image.repo_tags),
            digests: named(image.repo_digests),
            created: DateTime::from_timestamp(image.created, 0).filter(|created| created.timestamp() > 0),
            size: bytes(image.size),
            shared_size: u64::try_from(image.shared_size).ok(),
            labels: image.labels.into_iter().collect(),
            parent: Some(image.parent_id).filter(|parent| !parent.is_empty()),
        }
    }
}

impl From<ImageInspect> for ImageDetails {
    fn from(image: ImageInspect) -> Self {
        Self {
            id: image.id.unwrap_or_default(),
            layers: image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
            labels: image.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
            tags: image.repo_tags.unwrap_or_default(),
            digests: image.repo_digests.unwrap_or_default(),
            size: image.size.map_or(0, bytes),
        }
    }
}

/// The engine writes -1 for what it does not know.
pub(super) fn bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Image, RawUsage};

    #[test]
    fn reads_disk_usage_in_the_old_shape() {
        let usage: RawUsage = serde_json::from_value(json!({
            "LayersSize": 100, "Volumes": null,
            "Images": [{"Id": "sha256:a", "ParentId": "", "RepoTags": ["<none>:<none>"], "RepoDigests": ["app@<none>"],
                        "Created": 0, "Size": 7, "SharedSize": -1, "Labels": null, "Containers": 0}]
        }))
        .unwrap();
        assert_eq!(usage.layers_size, Some(100));
        let image = Image::from(usage.images.unwrap().remove(0));
        assert_eq!((image.tags, image.digests, image.created), (vec![], vec![], None));
        assert_eq!((image.size, image.shared_size, image.parent), (7, None, None));
    }
}
