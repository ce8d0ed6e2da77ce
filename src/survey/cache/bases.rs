//! The images that a build stands on, as far as the engine has them.

use futures_util::future::join_all;

use super::Lookup;
use crate::cache::evidence;
use crate::cache::records::{BaseImage, Digest};
use crate::engine::{ImageDetails, ImageStore};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::{NamedContext, Target};

impl Lookup<'_> {
    /// The base images of a target that the engine has now. None where they would not be found by more keys than one: for
    /// Docker 20.10, which knows a local image by its layers alone.
    pub(super) async fn bases(&self, target: &Target, dockerfile: Option<&Dockerfile>) -> Vec<BaseImage> {
        let info = self.engine.info();
        // What is known here are keys of the engine's own platform.
        let is_native = target.platforms.iter().all(|platform| *platform == info.platform);
        let Some(dockerfile) = dockerfile.filter(|_| is_native && !info.has_buildkit_0_8()) else { return Vec::new() };
        let names = evidence::bases(dockerfile, target.stage.as_deref(), &target.build_args).into_values();
        let looked_up = names.filter_map(|name| image(target, name)).map(|name| async move {
            let details = self.seen.image(&name).await?;
            base(&details, &info.store, &info.platform)
        });
        join_all(looked_up).await.into_iter().flatten().collect()
    }
}

/// The image that a name in the Dockerfile stands for, if a named context has not put something else in its place.
fn image(target: &Target, name: String) -> Option<String> {
    match target.named_contexts.get(&name) {
        None => Some(name),
        Some(NamedContext::Remote(address)) => address.strip_prefix("docker-image://").map(str::to_owned),
        Some(NamedContext::Local(_) | NamedContext::Target(_)) => None,
    }
}

/// Nothing where the engine tells the layers of another platform, because it has no others: the manifest's key would be of this one.
fn base(image: &ImageDetails, store: &ImageStore, platform: &str) -> Option<BaseImage> {
    if image.platform.as_deref() != Some(platform) {
        return None;
    }
    let manifests = image.digests.iter().filter_map(|name| name.rsplit_once('@')?.1.parse::<Digest>().ok());
    // On a graph driver the id is the digest of the configuration.
    let own = (*store == ImageStore::Containerd).then(|| image.id.parse().ok()).flatten();
    let layers = image.layers.iter().map(|layer| layer.parse()).collect::<Result<Vec<Digest>, _>>().ok()?;
    BaseImage::new(manifests.chain(own), platform, &layers)
}

#[cfg(test)]
mod tests {
    use super::{base, image};
    use crate::cache::records::{BaseImage, Digest};
    use crate::engine::{ImageDetails, ImageStore};
    use crate::project::target::{Context, Dockerfile, NamedContext, Target};

    #[test]
    fn an_image_is_known_by_the_manifests_that_the_engine_names() {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let details = ImageDetails {
            id: digest("id").to_string(),
            layers: vec![digest("layer").to_string()],
            labels: std::collections::BTreeMap::new(),
            tags: vec!["base:latest".to_owned()],
            digests: vec![format!("base@{}", digest("pulled"))],
            size: 1,
            platform: Some("linux/amd64".to_owned()),
        };
        let expected = |manifests: &[&str]| {
            BaseImage::new(manifests.iter().map(|name| digest(name)), "linux/amd64", &[digest("layer")])
        };
        let graph_driver = ImageStore::GraphDriver("overlay2".to_owned());
        assert_eq!(base(&details, &ImageStore::Containerd, "linux/amd64"), expected(&["pulled", "id"]));
        assert_eq!(base(&details, &graph_driver, "linux/amd64"), expected(&["pulled"]));
        let foreign = ImageDetails { platform: Some("linux/arm64".to_owned()), ..details.clone() };
        assert_eq!(base(&foreign, &graph_driver, "linux/amd64"), None, "its layers are another platform's");
        let silent = ImageDetails { platform: None, ..details.clone() };
        assert_eq!(base(&silent, &graph_driver, "linux/amd64"), None);
        let odd = ImageDetails { layers: vec!["md5:1".to_owned()], ..details };
        assert_eq!(base(&odd, &graph_driver, "linux/amd64"), None);
    }

    #[test]
    fn a_named_context_takes_an_images_place() {
        let mut target = Target::new("app", Context::Local("/x".into()), Dockerfile::Inline("FROM x".into()));
        target.named_contexts.insert("x".to_owned(), NamedContext::Remote("docker-image://y:1".to_owned()));
        target.named_contexts.insert("z".to_owned(), NamedContext::Remote("https://example.com/z.git".to_owned()));
        target.named_contexts.insert("t".to_owned(), NamedContext::Target("other".to_owned()));
        let name = |name: &str| image(&target, name.to_owned());
        assert_eq!(name("x"), Some("y:1".to_owned()));
        assert_eq!((name("z"), name("t")), (None, None));
        assert_eq!(name("busybox:1.36"), Some("busybox:1.36".to_owned()));
    }
}
