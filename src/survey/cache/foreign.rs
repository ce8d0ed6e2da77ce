//! Records of an image that this run's own ledgers do not name: another ledger's, or those inside the image.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{Candidate, Lookup, candidates};
use crate::buildkit::gateway::Gateway;
use crate::buildkit::mask::Masks;
use crate::buildkit::session::filesync::{Directories, Directory, FileSyncService};
use crate::buildkit::session::{ContentStore, ContentStores, Credentials, Services, Session};
use crate::buildkit::solve::{CacheEntry, SolveRequest, solve};
use crate::cache::ledger::{Ledger, LedgerLabel, Scope};
use crate::cache::records::{Layer, Records};
use crate::engine::{ImageDetails, ImageStore, ListedLedger};
use crate::error::chain;
use crate::image::ImageReference;

const STORE: &str = "layers";
/// How long the builder may take for a directory on top of an image.
const LAYERS: Duration = Duration::from_secs(20);

/// Whether what is built upon the image runs instructions of its own first; where that cannot be read, it may.
fn has_triggers(config: &[u8]) -> bool {
    let config: Option<serde_json::Value> = serde_json::from_slice(config).ok();
    let triggers = config.as_ref().map(|config| config.pointer("/config/OnBuild"));
    match triggers {
        Some(Some(serde_json::Value::Array(triggers))) => !triggers.is_empty(),
        Some(None | Some(serde_json::Value::Null)) => false,
        Some(Some(_)) | None => true,
    }
}

/// Whose builds made an image, as far as ledgers tell.
#[derive(Debug, PartialEq, Eq)]
struct Makers<'a> {
    /// Names of the ledgers that may be read.
    readable: Vec<&'a str>,
    /// Whether it may have been a build that this run does not trust.
    distrusted: bool,
}

impl<'a> Makers<'a> {
    fn of(image: &ImageDetails, listed: &'a [ListedLedger], own: &Scope) -> Self {
        let mut makers = Self { readable: Vec::new(), distrusted: false };
        for ledger in listed {
            let text = ledger.label.as_deref().unwrap_or_default();
            match LedgerLabel::read(&ledger.name, text) {
                Ok(label) if !label.made(&image.id) => {}
                Ok(label) if own.may_read(&label.key.scope) => makers.readable.push(&ledger.name),
                Ok(_) => makers.distrusted = true,
                // A newer version of this program, or who knows: it may be a pull request's.
                Err(_) => makers.distrusted |= text.contains(&image.id),
            }
        }
        makers
    }
}

impl Lookup<'_> {
    /// The records of an image, or why there are none to use. Those inside it are looked at only if somebody `named` it:
    /// the name of an image that is built says nothing of who built what has it now.
    pub(super) async fn foreign(
        &self,
        reference: &ImageReference,
        image: &ImageDetails,
        named: bool,
    ) -> Result<Vec<Candidate>, String> {
        let listed = self.engine.ledgers().await.map_err(|error| chain(&error))?;
        let Makers { readable, distrusted } = Makers::of(image, &listed, &self.access.own);
        let (mut found, mut unreadable) = (Vec::new(), None);
        for name in readable {
            // One that cannot be read does not spoil the others.
            match self.open(name).await {
                Ok(candidates) => found.extend(candidates),
                Err(reason) => unreadable = Some(reason),
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        if let Some(reason) = unreadable {
            return Err(reason);
        }
        // What is inside an image is as trustworthy as who made it.
        if distrusted {
            return Err("it was built by a run that this one does not trust".to_owned());
        }
        if !named {
            return Ok(Vec::new());
        }
        if self.may_be_distrusted(reference, image).await {
            return Err(
                "no ledger knows it, and a run that this one does not trust has built an image of that name".to_owned()
            );
        }
        self.inline(reference, image).await.map(|candidate| vec![candidate])
    }

    /// Whether a build that this run does not trust has given an image this name, or another name that the image has; also where
    /// the engine does not tell.
    async fn may_be_distrusted(&self, reference: &ImageReference, image: &ImageDetails) -> bool {
        // Most names that a pull request's run builds it has built before, and it has no secrets to lose.
        if self.access.own.has_no_secrets() {
            return false;
        }
        let names = image.tags.iter().filter_map(|tag| tag.parse::<ImageReference>().ok()).chain([reference.clone()]);
        let looked_up = join_all(names.map(|name| async move { self.engine.is_distrusted(&name).await })).await;
        looked_up.into_iter().any(|distrusted| distrusted.unwrap_or(true))
    }

    /// The images of another ledger.
    async fn open(&self, name: &str) -> Result<Vec<Candidate>, String> {
        let read = self.engine.read_ledger(name).await.map_err(|error| chain(&error))?;
        let Some(read) = read else { return Ok(Vec::new()) };
        let ledger = Ledger::open_found(&read.content, name, &self.access.own).map_err(|error| chain(&error))?;
        Ok(candidates(&ledger).collect())
    }

    async fn inline(&self, reference: &ImageReference, image: &ImageDetails) -> Result<Candidate, String> {
        self.holds.ask().await;
        let config = self.config(reference).await?;
        let has_records = Records::from_image_config(&config).map_err(|error| chain(&error))?.is_some();
        let records = match self.engine.info().store {
            ImageStore::Containerd if has_records => {
                if has_triggers(&config) {
                    return Err("its ONBUILD instructions would be run to find its layers".to_owned());
                }
                let layers = tokio::time::timeout(LAYERS, self.layers(reference)).await;
                let layers = layers.map_err(|_elapsed| "the builder does not tell its layers in time".to_owned())??;
                Records::from_image_config_with_layers(&config, &layers)
            }
            ImageStore::GraphDriver(_) | ImageStore::Containerd => Records::from_image_config(&config),
        };
        let records = records.map_err(|error| chain(&error))?;
        let records = records.ok_or("no ledger knows it, and it has no records inside")?;
        Ok(Candidate { source: format!("{reference} (inline)"), image_id: image.id.clone(), records })
    }

    async fn config(&self, reference: &ImageReference) -> Result<bytes::Bytes, String> {
        let read = async {
            let session = Session::open(self.connection, Services::new(Credentials::default()), "").await?;
            Gateway::open(self.connection, &session).config(&reference.canonical()).await
        };
        read.await.map_err(|error| chain(&error))?.ok_or_else(|| "the builder does not find it".to_owned())
    }

    /// The image's layers by the digests that the containerd store has them under, the lowest first.
    ///
    /// No API of the engine tells them; the records of a build upon the image do. It needs a step of its own, because what
    /// is nothing but an image is not exported.
    async fn layers(&self, reference: &ImageReference) -> Result<Vec<Layer>, String> {
        let store = ContentStore::accepting();
        let text = format!("FROM {}\nWORKDIR /watchparty-cache\n", reference.canonical());
        let dockerfile = Directory::in_memory([("Dockerfile", text)]);
        let files = Directories::new()
            .with("dockerfile", dockerfile)
            .with("context", Directory::in_memory([(".dockerignore", String::new())]));
        let services = Services::new(Credentials::default())
            .with_files(FileSyncService::new(files))
            .with_content(ContentStores::default().with(STORE, store.clone()));
        let session = Session::open(self.connection, services, "").await.map_err(|error| chain(&error))?;
        let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let request = SolveRequest {
            frontend: "dockerfile.v0".to_owned(),
            attributes: text(&[("filename", "Dockerfile"), ("image-resolve-mode", "local")]),
            cache_exports: vec![CacheEntry {
                kind: "local".to_owned(),
                attributes: text(&[
                    ("dest", STORE),
                    ("mode", "min"),
                    ("image-manifest", "false"),
                    ("oci-mediatypes", "true"),
                ]),
            }],
            internal: true,
            ..SolveRequest::default()
        };
        let solved =
            solve(self.connection, &session, request, &Masks::NONE, &CancellationToken::new(), |_event| {}).await;
        solved.result.map_err(|error| chain(&error))?;
        let records = Records::from_exported_blobs(&store.written()).map_err(|error| chain(&error))?;
        let longest = records.results().map(|result| result.layers()).max_by_key(Vec::len).unwrap_or_default();
        // Without the step's own.
        let (_, image) = longest.split_last().ok_or("the builder does not tell its layers")?;
        Ok(image.iter().map(|layer| (*layer).clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Makers;
    use crate::cache::ledger::{Identity, LedgerKey, Scope, Subject};
    use crate::engine::{ImageDetails, ListedLedger};

    fn image() -> ImageDetails {
        ImageDetails {
            id: format!("sha256:{}", "a".repeat(64)),
            layers: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            tags: vec!["app:1".to_owned()],
            digests: Vec::new(),
            size: 1,
            platform: None,
        }
    }

    fn ledger(scope: Scope, schema: u32) -> ListedLedger {
        let identity = Identity { subject: Subject::Key("k".to_owned()), target: None };
        let key = LedgerKey { scope, identity };
        let mut label = serde_json::to_value(&key).unwrap();
        label["schema"] = schema.into();
        label["images"] = vec![image().id].into();
        ListedLedger { name: key.name(), id: "sha256:l".to_owned(), label: Some(label.to_string()), created: None }
    }

    fn push() -> Scope {
        Scope::Trusted { repository: "o/r".to_owned(), reference: "refs/heads/main".to_owned() }
    }

    fn pull_request() -> Scope {
        Scope::Untrusted { repository: Some("o/r".to_owned()), reference: "pull/7".to_owned() }
    }

    #[test]
    fn who_made_an_image_decides_whether_it_is_looked_into() {
        let [ours, theirs, newer] = [ledger(push(), 1), ledger(pull_request(), 1), ledger(pull_request(), 2)];
        let makers = |ledgers: &[ListedLedger]| {
            let Makers { readable, distrusted } = Makers::of(&image(), ledgers, &push());
            (readable.len(), distrusted)
        };
        assert_eq!(makers(&[]), (0, false));
        assert_eq!(makers(std::slice::from_ref(&ours)), (1, false));
        assert_eq!(makers(&[ours, theirs]), (1, true));
        // The label of a newer version cannot be read, and names the image all the same.
        assert_eq!(makers(std::slice::from_ref(&newer)), (0, true));
        let other = ImageDetails { id: format!("sha256:{}", "b".repeat(64)), ..image() };
        assert!(!Makers::of(&other, &[newer], &push()).distrusted);
    }
}
