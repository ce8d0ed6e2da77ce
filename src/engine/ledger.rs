//! Ledgers in the engine: tiny images whose configuration is the document.
//!
//! The engine is the one place that a later job on the same machine sees as well. An image without layers is loaded and
//! named in one request, all or nothing, and one inspection reads it back. The document is the configuration's `author`,
//! a field that every engine keeps as it is and that lists of images leave out; a layer takes twice as long to write on
//! every engine, three times as long to read, and must be unpacked from two layouts of archives.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::query_parameters::ListImagesOptions;
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;

use super::empty::EmptyImage;
use super::inspection::Inspection;
use super::{Engine, EngineError, Image, ImageStore, Parents};
use crate::image::RESERVED_NAMESPACE;

/// The repository of all ledgers; the tag tells whose.
pub const LEDGER_REPOSITORY: &str = "watchparty-cache/ledger";
const LABEL: &str = "watchparty-cache.ledger";
/// A graph driver loads an image first and names it then, a moment later. An image without a name is left over only if it
/// still has none after this time.
pub const NAMING: Duration = Duration::from_millis(200);
const READ_ATTEMPTS: u32 = 3;

/// What has a ledger's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLedger {
    /// The engine's id of the image; absent if the answer was too large to be read.
    pub id: Option<String>,
    /// What is in it.
    pub content: LedgerContent,
}

/// What is in an image that has a ledger's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerContent {
    /// A document, whatever it says.
    Document(String),
    /// Something that this program did not put there.
    Foreign,
    /// More than any ledger is.
    TooLarge,
}

/// A ledger in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLedger {
    /// Its name.
    pub name: String,
    /// The engine's id of the image.
    pub id: String,
    /// The text of its label, as it was written; `None` if it has none and so is foreign.
    pub label: Option<String>,
    /// When it was written.
    pub created: Option<DateTime<Utc>>,
}

impl Engine {
    /// Writes a ledger under a name, in the place of the one that has it: at every moment the name has either the old one
    /// or the new one, also if this is cut short. Of several writers at once the last one wins.
    ///
    /// `label` is a summary that lists of images show. What loses its name by this stays, for [`Self::remove_replaced_ledgers`].
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn write_ledger(
        &self,
        name: &str,
        label: &str,
        document: &str,
        created: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let action = format!("write the ledger {name}");
        let labels = [(LABEL, label), (RESERVED_NAMESPACE, "ledger")].into();
        self.load_empty(&action, &EmptyImage { name, labels, author: document, created }).await
    }

    /// Reads what has a ledger's name; `None` if nothing has.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn read_ledger(&self, name: &str) -> Result<Option<FoundLedger>, EngineError> {
        let action = format!("read the ledger {name}");
        let mut attempts = READ_ATTEMPTS;
        loop {
            attempts -= 1;
            let found = match self.inspect(&action, name).await {
                Err(error) if error.is_no_such_image() => return Ok(None),
                // The containerd image store looks the name up and then reads: a writer may have been in between, and what
                // is read is gone or empty.
                Err(error) if error.is_not_found() && attempts > 0 => continue,
                Err(error) => return Err(error),
                Ok(None) => FoundLedger { id: None, content: LedgerContent::TooLarge },
                Ok(Some(image)) => image.into(),
            };
            if found.content != LedgerContent::Foreign || attempts == 0 {
                return Ok(Some(found));
            }
        }
    }

    /// All that have the name of a ledger, with what their labels say.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn ledgers(&self) -> Result<Vec<ListedLedger>, EngineError> {
        let images = self.list_filtered("list the ledgers", "reference", LEDGER_REPOSITORY).await?;
        let is_ledger = |name: &String| name.strip_prefix(LEDGER_REPOSITORY).is_some_and(|rest| rest.starts_with(':'));
        Ok(images
            .into_iter()
            .flat_map(|image| {
                let (id, created, label) = (image.id, image.created, image.labels.get(LABEL).cloned());
                let names = image.tags.into_iter().filter(is_ledger);
                names
                    .map(move |name| ListedLedger { name, id: id.clone(), label: label.clone(), created })
                    .collect::<Vec<_>>()
            })
            .collect())
    }

    /// Removes the ledgers that were found under the names of those that were written since, if they have no name left, and what
    /// other writers left over. To be called once, when all is written: a ledger that is being written looks like a leftover.
    ///
    /// Two writers may both find the same predecessor, and one replaces what the other wrote: neither knows the image that
    /// lost its name. So the last one looks for all of them.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn remove_replaced_ledgers(&self, predecessors: &[&str]) -> Result<(), EngineError> {
        let mut nameless = self.nameless_ledgers().await?;
        let replaced: Vec<String> = predecessors.iter().filter_map(|id| nameless.take(*id)).collect();
        try_join_all(replaced.iter().map(|image| self.remove_leftover(image))).await?;
        if nameless.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(NAMING).await;
        for image in self.nameless_ledgers().await?.intersection(&nameless) {
            self.remove_leftover(image).await?;
        }
        Ok(())
    }

    /// The containerd image store calls an image dangling that lost a name, also if it has another one: only a look at the
    /// image tells.
    async fn nameless_ledgers(&self) -> Result<BTreeSet<String>, EngineError> {
        let images = self.list_filtered("look for ledgers without a name", "dangling", "true").await?;
        let ours = images.into_iter().filter(|image| image.tags.is_empty() && image.labels.contains_key(LABEL));
        let looked_at = ours.map(|image| async move {
            match self.inspect("look at a ledger without a name", &image.id).await {
                Ok(Some(Inspection { repo_tags: Some(tags), .. })) if !tags.is_empty() => Ok(None),
                Ok(_) => Ok(Some(image.id)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        });
        Ok(try_join_all(looked_at).await?.into_iter().flatten().collect())
    }

    /// The ids of images with a label that have no name, in an engine with a graph driver: the containerd store keeps none, and calls
    /// others dangling.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn nameless_with(&self, label: &str) -> Result<BTreeSet<String>, EngineError> {
        if self.info.store == ImageStore::Containerd {
            return Ok(BTreeSet::new());
        }
        let images = self.list_filtered("look for images without a name", "dangling", "true").await?;
        let is_one = |image: &Image| image.tags.is_empty() && image.labels.contains_key(label);
        Ok(images.into_iter().filter(is_one).map(|image| image.id).collect())
    }

    /// What the engine refuses is left to the next writer: another may have been faster (status 404, and on a graph driver
    /// 500, `unrecognized image ID`), a container may have been made from it (409).
    pub(super) async fn remove_leftover(&self, image: &str) -> Result<(), EngineError> {
        match self.remove_image(image, Parents::Keep).await {
            Ok(_) | Err(EngineError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The images that a filter lets through.
    pub(super) async fn list_filtered(
        &self,
        action: &str,
        filter: &str,
        value: &str,
    ) -> Result<Vec<Image>, EngineError> {
        let filters = HashMap::from([(filter.to_owned(), vec![value.to_owned()])]);
        self.list(action, &ListImagesOptions { filters: Some(filters), ..ListImagesOptions::default() }).await
    }
}

impl From<Inspection> for FoundLedger {
    fn from(mut image: Inspection) -> Self {
        let is_ours = image.labels().contains_key(LABEL);
        let content = match image.author.filter(|_| is_ours) {
            Some(document) => LedgerContent::Document(document),
            None => LedgerContent::Foreign,
        };
        Self { id: Some(image.id), content }
    }
}
