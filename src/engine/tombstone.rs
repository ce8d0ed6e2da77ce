//! Tombstones: tiny images that tell the next build of a repository that its caches were cleared.
//!
//! The engine is the one place that a later job on the same machine sees as well. A label cannot be put on an image that
//! is gone, so the mark is an empty image of its own, in the reserved namespace, with JSON in a label.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ledger::NAMING;
use super::settle::settled;
use super::transport::target;
use super::{Engine, EngineError, Image, Parents};
use crate::image::RESERVED_NAMESPACE;

/// The repository of all tombstones; the tag tells the cleared repository.
pub const TOMBSTONE_REPOSITORY: &str = "watchparty-cache/tombstone";
const LABEL: &str = "watchparty-cache.tombstone";
const SCHEMA: u32 = 1;
/// Two blocks of zeros: the end of a tar archive, and nothing before it.
const EMPTY_TAR: &[u8] = &[0; 1024];
const WRITE_ATTEMPTS: usize = 3;

/// What a clear left for the next build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// The cleared repository in its familiar form, without a tag: `app`, `ghcr.io/org/app`.
    pub repository: String,
    /// When it was cleared.
    pub cleared_at: DateTime<Utc>,
    /// The run that did it, if it ran on GitHub.
    pub run_url: Option<String>,
    /// Whether the builder's records went as well.
    pub builder_cleared: bool,
}

/// A tombstone as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// One that we understand.
    Known(Tombstone),
    /// Something in its place that we do not understand, as a newer version of this program may leave it. The repository
    /// counts as cleared all the same.
    Unknown,
}

/// A mark where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTombstone {
    /// The engine's id of the image: another mark in the same place has another one.
    pub id: String,
    /// What it says.
    pub mark: Mark,
}

/// What the label holds.
#[derive(Serialize, Deserialize)]
struct Document<T> {
    schema: u32,
    #[serde(flatten)]
    tombstone: T,
}

impl Tombstone {
    /// The name of a repository's tombstone.
    pub fn name_for(repository: &str) -> String {
        let digest = Sha256::digest(repository.as_bytes());
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{TOMBSTONE_REPOSITORY}:{hex}")
    }

    /// The instruction that `docker import --change` takes.
    ///
    /// In single quotes the Dockerfile parser takes everything as it is; a quote of our own is escaped in JSON's way.
    fn label_instruction(&self) -> Result<String, serde_json::Error> {
        let json = serde_json::to_string(&Document { schema: SCHEMA, tombstone: self })?;
        Ok(format!("LABEL {LABEL}='{}' {RESERVED_NAMESPACE}=tombstone", json.replace('\'', "\\u0027")))
    }
}

impl Mark {
    /// Reads the mark from the labels of the image that stands in a tombstone's place.
    fn read<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        labels
            .into_iter()
            .find(|(key, _)| *key == LABEL)
            .and_then(|(_, json)| serde_json::from_str::<Document<Tombstone>>(json).ok())
            .filter(|document| document.schema == SCHEMA)
            .map_or(Self::Unknown, |document| Self::Known(document.tombstone))
    }
}

impl Image {
    /// The mark, if this image is a tombstone.
    pub fn tombstone(&self) -> Option<Mark> {
        let prefix = |tag: &String| tag.strip_prefix(TOMBSTONE_REPOSITORY).is_some_and(|rest| rest.starts_with(':'));
        self.tags.iter().any(prefix).then(|| Mark::read(&self.labels))
    }
}

impl Engine {
    /// The mark that a clear left for a repository; `None` only if the engine says that there is none.
    ///
    /// # Errors
    /// [`EngineError`]. Then there may be one.
    pub async fn tombstone(&self, repository: &str) -> Result<Option<FoundTombstone>, EngineError> {
        let action = format!("look for the mark that {repository} was cleared");
        let name = Tombstone::name_for(repository);
        match settled(async || self.inspect(&action, &name).await).await {
            Ok(Some(mut image)) => Ok(Some(FoundTombstone { mark: Mark::read(&image.labels()), id: image.id })),
            Ok(None) => Err(EngineError::Malformed { action, source: "it is too large to be read".into() }),
            Err(error) if error.is_no_such_image() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves a mark, in the place of one that is there, and reads it back; gives what stands there then, which may be what
    /// another clear has just left: either says that the repository was cleared. What had the name before is left over until
    /// [`Engine::remove_nameless_tombstones`].
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn write_tombstone(&self, tombstone: &Tombstone) -> Result<FoundTombstone, EngineError> {
        let action = format!("leave the mark that {} was cleared", tombstone.repository);
        let mut failure = None;
        for _ in 0..WRITE_ATTEMPTS {
            match self.import_tombstone(&action, tombstone).await {
                Ok(()) => {}
                // The containerd store of Docker 28 fails whoever gives a new name second; on a graph driver an older version
                // of this program may take an image away before it has its name.
                Err(error @ EngineError::Refused { .. }) => failure = Some(error),
                Err(error) => return Err(error),
            }
            if let Some(found) = self.tombstone(&tombstone.repository).await? {
                return Ok(found);
            }
        }
        Err(failure.unwrap_or_else(|| EngineError::Malformed { action, source: "it is not there".into() }))
    }

    async fn import_tombstone(&self, action: &str, tombstone: &Tombstone) -> Result<(), EngineError> {
        let name = Tombstone::name_for(&tombstone.repository);
        let label = tombstone
            .label_instruction()
            .map_err(|source| EngineError::Malformed { action: action.to_owned(), source: source.into() })?;
        let (repository, tag) = name.split_once(':').unwrap_or((&name, "latest"));
        let query = [
            ("fromSrc", "-".to_owned()),
            ("repo", repository.to_owned()),
            ("tag", tag.to_owned()),
            ("message", format!("watchparty-cache cleared {}", tombstone.repository)),
            ("changes", label),
        ];
        self.send_archive(action, &target("/images/create", &query), Bytes::from_static(EMPTY_TAR)).await
    }

    /// Removes marks whose name has moved on: at once those in `known`, which had one, and the others if they still have none
    /// a moment later, because a graph driver imports an image first and names it then.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn remove_nameless_tombstones(&self, known: &BTreeSet<String>) -> Result<(), EngineError> {
        let nameless = self.nameless_tombstones().await?;
        for mark in nameless.intersection(known) {
            self.remove_leftover(mark).await?;
        }
        let others = &nameless - known;
        if others.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(NAMING).await;
        for mark in self.nameless_tombstones().await?.intersection(&others) {
            self.remove_leftover(mark).await?;
        }
        Ok(())
    }

    async fn nameless_tombstones(&self) -> Result<BTreeSet<String>, EngineError> {
        let marks = self.list_filtered("look for marks without a name", "label", LABEL).await?;
        Ok(marks.into_iter().filter(|mark| mark.tags.is_empty()).map(|mark| mark.id).collect())
    }

    /// Takes a mark away by its id, so that one which took its place meanwhile stays; none to take is fine.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn remove_tombstone(&self, id: &str) -> Result<(), EngineError> {
        match self.remove_image(id, Parents::Remove).await {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;

    use super::{LABEL, Mark, Tombstone};

    fn tombstone() -> Tombstone {
        Tombstone {
            repository: "ghcr.io/org/app".into(),
            cleared_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            run_url: Some("https://github.com/o/r/actions/runs/1".into()),
            builder_cleared: true,
        }
    }

    fn read(json: &str) -> Mark {
        Mark::read(&BTreeMap::from([(LABEL.to_owned(), json.to_owned())]))
    }

    #[test]
    fn has_a_name_for_every_repository() {
        assert_eq!(Tombstone::name_for("app"), "watchparty-cache/tombstone:a172cedcae47474b615c54d510a5d84a");
        assert_ne!(Tombstone::name_for("app"), Tombstone::name_for("ghcr.io/org/app"));
    }

    #[test]
    fn writes_json_into_a_label() {
        assert_eq!(
            Tombstone { run_url: Some("it's".into()), ..tombstone() }.label_instruction().unwrap(),
            r#"LABEL watchparty-cache.tombstone='{"schema":1,"repository":"ghcr.io/org/app","clearedAt":"2027-01-15T08:00:00Z","runUrl":"it\u0027s","builderCleared":true}' watchparty-cache=tombstone"#
        );
    }

    #[test]
    fn reads_back_what_it_wrote_and_nothing_else() {
        let instruction = tombstone().label_instruction().unwrap();
        let json = instruction.split('\'').nth(1).unwrap();
        assert_eq!(read(json), Mark::Known(tombstone()));
        assert_eq!(read(&json.replace("\"schema\":1", "\"schema\":2")), Mark::Unknown);
        assert_eq!(read("{}"), Mark::Unknown);
        assert_eq!(read(""), Mark::Unknown);
        assert_eq!(Mark::read(&BTreeMap::new()), Mark::Unknown);
    }
}
