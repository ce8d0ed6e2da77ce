//! Tombstones: tiny images that tell the next build of a repository that its caches were cleared.
//!
//! The engine is the one place that a later job on the same machine sees as well. A label cannot be put on an image that
//! is gone, so the mark is an empty image of its own, in the reserved namespace, with JSON in a label.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::transport::{post, target};
use super::{Engine, EngineError, Image, Parents};

/// The repository of all tombstones; the tag tells the cleared repository.
pub const TOMBSTONE_REPOSITORY: &str = "watchparty-cache/tombstone";
const LABEL: &str = "watchparty-cache.tombstone";
const SCHEMA: u32 = 1;
/// Two blocks of zeros: the end of a tar archive, and nothing before it.
const EMPTY_TAR: &[u8] = &[0; 1024];

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
        Ok(format!("LABEL {LABEL}='{}'", json.replace('\'', "\\u0027")))
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
    /// The mark that a clear left for a repository.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn tombstone(&self, repository: &str) -> Result<Option<Mark>, EngineError> {
        let found = self.inspect_image(&Tombstone::name_for(repository)).await?;
        Ok(found.map(|image| Mark::read(&image.labels)))
    }

    /// Leaves a mark, in the place of one that is there.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn write_tombstone(&self, tombstone: &Tombstone) -> Result<(), EngineError> {
        let action = format!("leave the mark that {} was cleared", tombstone.repository);
        let name = Tombstone::name_for(&tombstone.repository);
        let label = tombstone
            .label_instruction()
            .map_err(|source| EngineError::Malformed { action: action.clone(), source: source.into() })?;
        let (repository, tag) = name.split_once(':').unwrap_or((&name, "latest"));
        let query = [
            ("fromSrc", "-".to_owned()),
            ("repo", repository.to_owned()),
            ("tag", tag.to_owned()),
            ("message", format!("watchparty-cache cleared {}", tombstone.repository)),
            ("changes", label),
        ];
        let request =
            post(&target("/images/create", &query), "application/x-tar", Full::new(Bytes::from_static(EMPTY_TAR)))
                .map_err(|error| error.into_engine_error(&action))?;
        let messages = self.transport.clone().post_streaming::<_, ImportMessage>(action.clone(), request);
        messages
            .try_for_each(|message| {
                std::future::ready(match message.error {
                    Some(message) => Err(EngineError::Refused { action: action.clone(), status: 200, message }),
                    None => Ok(()),
                })
            })
            .await?;
        // The name has moved on to the new image: without this the old one would stay behind without a name, and so would
        // one of two that clears at the same time wrote.
        for mark in self.list_filtered(&action, "label", LABEL).await? {
            if mark.tags.is_empty() {
                self.remove_leftover(&mark.id).await?;
            }
        }
        Ok(())
    }

    /// Takes a mark away; none to take is fine.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn remove_tombstone(&self, repository: &str) -> Result<(), EngineError> {
        self.remove_if_there(&Tombstone::name_for(repository)).await
    }

    async fn remove_if_there(&self, image: &str) -> Result<(), EngineError> {
        match self.remove_image(image, Parents::Remove).await {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// One line of the answer to an import.
#[derive(Deserialize)]
struct ImportMessage {
    error: Option<String>,
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
            r#"LABEL watchparty-cache.tombstone='{"schema":1,"repository":"ghcr.io/org/app","clearedAt":"2027-01-15T08:00:00Z","runUrl":"it\u0027s","builderCleared":true}'"#
        );
    }

    #[test]
    fn reads_back_what_it_wrote_and_nothing_else() {
        let instruction = tombstone().label_instruction().unwrap();
        let json = instruction.split_once('=').unwrap().1.trim_matches('\'');
        assert_eq!(read(json), Mark::Known(tombstone()));
        assert_eq!(read(&json.replace("\"schema\":1", "\"schema\":2")), Mark::Unknown);
        assert_eq!(read("{}"), Mark::Unknown);
        assert_eq!(read(""), Mark::Unknown);
        assert_eq!(Mark::read(&BTreeMap::new()), Mark::Unknown);
    }
}
