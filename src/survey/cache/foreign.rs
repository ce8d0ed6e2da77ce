//! Records of an image that this run's own ledgers do not name: another ledger's, or those inside the image.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Candidate, Lookup, candidates};
use crate::buildkit::gateway::Gateway;
use crate::buildkit::mask::Masks;
use crate::buildkit::session::filesync::{Directories, Directory, FileSyncService};
use crate::buildkit::session::{ContentStore, ContentStores, Credentials, Services, Session};
use crate::buildkit::solve::{CacheEntry, SolveRequest, solve};
use crate::cache::ledger::{Ledger, LedgerLabel};
use crate::cache::records::{Layer, Records};
use crate::engine::{ImageDetails, ImageStore};
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
        let labels = listed.iter().filter_map(|ledger| {
            let label = LedgerLabel::read(&ledger.name, ledger.label.as_deref()?).ok()?;
            label.made(&image.id).then_some((&ledger.name, label))
        });
        let naming: Vec<_> = labels.collect();
        let distrusted = naming.iter().any(|(_, label)| !self.access.own.may_read(&label.key.scope));
        let mut found = Vec::new();
        for (name, _) in naming.into_iter().filter(|(_, label)| self.access.own.may_read(&label.key.scope)) {
            let read = self.engine.read_ledger(name).await.map_err(|error| chain(&error))?;
            if let Some(read) = read {
                let ledger = Ledger::open_found(&read.content, name, &self.access.own);
                let ledger = ledger.map_err(|error| chain(&error))?;
                found.extend(candidates(&ledger).map(|candidate| Candidate { ledger: None, ..candidate }));
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        // What is inside an image is as trustworthy as who made it.
        if distrusted {
            return Err("it was built by a run that this one does not trust".to_owned());
        }
        if !named {
            return Ok(Vec::new());
        }
        self.inline(reference, image).await.map(|candidate| vec![candidate])
    }

    async fn inline(&self, reference: &ImageReference, image: &ImageDetails) -> Result<Candidate, String> {
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
        Ok(Candidate { ledger: None, source: format!("{reference} (inline)"), image_id: image.id.clone(), records })
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
