//! Images of an engine: what there is, what they take, tagging and removing.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::ImageSummary;
use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions, TagImageOptions};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::info::ApiVersion;
use super::inspection::Inspection;
use super::settle::settled;
use super::{Engine, EngineError};
use crate::image::ImageReference;

/// Where `/system/df` learnt to leave everything but images out.
const DF_TYPES_API: ApiVersion = ApiVersion { major: 1, minor: 42 };
/// Measuring images and, on Docker 20.10, volumes and containers with them, takes minutes on a large host.
const DF_TIMEOUT: Duration = Duration::from_secs(600);
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
    /// Digests of the uncompressed layers, the lowest first. None if the containerd store has the image's name and not its
    /// content, as while it is being removed.
    pub layers: Vec<String>,
    /// The labels of its configuration.
    pub labels: BTreeMap<String, String>,
    /// Its names with tags, as the engine gives them: on the containerd store one with a digest alone among them.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// The platform that the layers are for, as `linux/amd64`, `linux/arm/v7`; `None` if it does not say.
    pub platform: Option<String>,
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
        self.list("list images", &ListImagesOptions::default()).await
    }

    /// The images that options name. The containerd image store fails the list with status 404 if an image goes away
    /// meanwhile: `failed to read config content: … not found`.
    pub(super) async fn list(&self, action: &str, options: &ListImagesOptions) -> Result<Vec<Image>, EngineError> {
        let list = async || {
            let images = self.docker.list_images(Some(options.clone())).await;
            images.map_err(|error| self.failed(action.to_owned(), error))
        };
        Ok(settled(list).await?.into_iter().map(Image::from).collect())
    }

    /// The images with the room that they take, in the engine's own figures. Slow: it measures.
    ///
    /// Not through bollard: 0.21.1 reads the shape of API 1.52 only, and finds nothing in an older engine's answer.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn image_usage(&self) -> Result<ImageUsage, EngineError> {
        let usage: RawUsage = self.disk_usage("measure the images", "image").await?;
        Ok(ImageUsage {
            images: usage.images.unwrap_or_default().into_iter().map(Image::from).collect(),
            layers_size: usage.layers_size.map_or(0, bytes),
        })
    }

    /// `GET /system/df`, of one type of objects where the engine can leave the others out.
    pub(super) async fn disk_usage<T: DeserializeOwned>(&self, action: &str, kind: &str) -> Result<T, EngineError> {
        let types = self.info.negotiated() >= DF_TYPES_API;
        let target = if types { format!("/system/df?type={kind}") } else { "/system/df".to_owned() };
        let begun = tokio::time::Instant::now();
        loop {
            // While a build is at work, Docker 28 may stumble over a snapshot that goes away while it measures.
            match settled(async || self.transport.get(action, &target, DF_TIMEOUT).await).await {
                Err(error) if is_measuring(&error) && begun.elapsed() < DF_TIMEOUT => {}
                answer => return answer,
            }
            tokio::time::sleep(DF_PAUSE).await;
        }
    }

    /// Looks at one image, by name or id; `None` if there is no such image.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn inspect_image(&self, image: &str) -> Result<Option<ImageDetails>, EngineError> {
        let action = format!("look at image {image}");
        match self.inspect(&action, image).await {
            Ok(Some(details)) => Ok(Some(details.into())),
            Ok(None) => Err(EngineError::Malformed { action, source: "it is too large to be read".into() }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
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
        let remove = async || {
            let items = self.docker.remove_image(image, Some(options.clone()), None).await;
            items.map_err(|error| self.failed(format!("remove image {image}"), error))
        };
        let items = settled(remove).await?;
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

/// Docker 20.10 measures for one client at a time, and refuses the others: `a disk usage operation is already running`
/// (moby `daemon/disk_usage.go`).
fn is_measuring(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { message, .. } if message.contains("disk usage operation is already running"))
}

/// The parts of `GET /system/df` that matter here, in the shape that every API up to 1.51 has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawUsage {
    layers_size: Option<i64>,
    images: Option<Vec<ImageSummary>>,
}

/// Names with tags, and names with digests, out of what the engine lists as the ones and as the others.
///
/// The containerd image store lists a name with a digest, as `docker pull app@sha256:…` leaves one, among the tags; to take
/// it for a tag would be dangerous, because its removal takes every tag of its repository along. And it lists the bare
/// digest of an image whose content is gone among the digests, which names nothing (moby `daemon/containerd/image_list.go`,
/// `getSameReferences` in `image_delete.go`). Engines before 25.0 give an image without names the name `<none>:<none>`.
pub(crate) fn sorted_names(tags: Vec<String>, digests: Vec<String>) -> (Vec<String>, Vec<String>) {
    let names = tags.into_iter().filter(|name| !name.contains("<none>"));
    let (mut by_digest, by_tag): (Vec<String>, Vec<String>) = names.partition(|name| name.contains('@'));
    let digests = digests.into_iter().filter(|name| name.contains('@') && !name.contains("<none>"));
    by_digest.extend(digests);
    by_digest.sort();
    by_digest.dedup();
    (by_tag, by_digest)
}

impl From<ImageSummary> for Image {
    fn from(image: ImageSummary) -> Self {
        let (tags, digests) = sorted_names(image.repo_tags, image.repo_digests);
        Self {
            id: image.id,
            tags,
            digests,
            created: DateTime::from_timestamp(image.created, 0).filter(|created| created.timestamp() > 0),
            size: bytes(image.size),
            shared_size: u64::try_from(image.shared_size).ok(),
            labels: image.labels.into_iter().collect(),
            parent: Some(image.parent_id).filter(|parent| !parent.is_empty()),
        }
    }
}

impl From<Inspection> for ImageDetails {
    fn from(mut image: Inspection) -> Self {
        let (labels, platform) = (image.labels(), image.platform());
        Self {
            platform,
            id: image.id,
            layers: image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
            labels,
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

    use super::{Image, ImageDetails, Inspection, RawUsage, sorted_names};

    #[test]
    fn an_image_whose_content_is_gone_has_no_layers() {
        // As Docker 28.5.2 with the containerd store tells an image that is being removed.
        let image: Inspection = serde_json::from_value(json!({
            "Id": "sha256:a", "RepoTags": ["app:latest"], "RepoDigests": [], "Size": 0, "Parent": "", "Comment": "",
            "Config": {"Cmd": null}, "Architecture": "", "Os": "", "RootFS": {}, "Metadata": {}
        }))
        .unwrap();
        let image = ImageDetails::from(image);
        assert_eq!((image.id.as_str(), image.tags), ("sha256:a", vec!["app:latest".to_owned()]));
        assert_eq!((image.layers, image.labels.len(), image.size), (vec![], 0, 0));
    }

    #[test]
    fn a_name_with_a_digest_is_no_tag_and_a_bare_digest_no_name() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let named = format!("app@{digest}");
        let strings = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            sorted_names(strings(&["app:1", &named]), strings(&[&named, "web@sha256:b"])),
            (strings(&["app:1"]), strings(&[&named, "web@sha256:b"]))
        );
        assert_eq!(sorted_names(strings(&["app:1"]), strings(&[&digest])), (strings(&["app:1"]), vec![]));
        assert_eq!(sorted_names(strings(&["<none>:<none>"]), strings(&["app@<none>"])), (vec![], vec![]));
    }

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
