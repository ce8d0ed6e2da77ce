//! The images that the image cache makes for itself, as their names and labels tell: what they are, whose, and of what.
//!
//! A label is read tolerantly: what is not understood is no error, it is an image that a clear leaves alone and names.

use std::fmt;

use serde::Deserialize;

use crate::cache::ledger::{Identity, LedgerKey, Scope, Subject};
use crate::image::ImageReference;

const LEDGER_LABEL: &str = "watchparty-cache.ledger";
const STAGE_LABEL: &str = "watchparty-cache.stage";
/// The schema of both labels that this program knows.
const SCHEMA: u64 = 1;

/// What an image of the image cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheKind {
    /// An intermediate stage, kept for its layers.
    Stage,
    /// What a build that was killed left behind: an image that it captured records with.
    Capture,
    /// The records of a build, and what is known of its images.
    Ledger,
}

impl CacheKind {
    /// By its name in the reserved namespace. Tombstones are none of them: they are what a clear leaves.
    pub(super) fn of(name: &ImageReference) -> Option<Self> {
        if !name.is_reserved() {
            return None;
        }
        match name.path().split_once('/')?.1 {
            "ledger" => Some(Self::Ledger),
            "stage" => Some(Self::Stage),
            "capture" => Some(Self::Capture),
            _ => None,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Ledger => LEDGER_LABEL,
            // A capture is labelled as a stage image is.
            Self::Stage | Self::Capture => STAGE_LABEL,
        }
    }
}

/// What a label says, of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// The repository of the images that it is for, in its familiar form; `None` for a cache of a `cache-key`.
    pub(super) image_repository: Option<String>,
    /// Whose cache it is.
    pub(super) identity: Identity,
    /// Who wrote it.
    pub(super) scope: Scope,
    /// The stage that a stage image keeps.
    pub(super) stage: Option<String>,
    /// Ids of the images that a ledger names.
    pub(super) images: Vec<String>,
    /// Ids of those that its builds made before.
    pub(super) superseded: Vec<String>,
}

/// Whose an image of the cache is, for the run that clears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// This repository's, of whatever branch; at a terminal, this machine's own.
    Ours,
    /// Another repository's.
    Another,
    /// Its label does not say.
    Unclear,
}

/// Why a label is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// There is none.
    #[error("it has no label that says whose it is")]
    Missing,
    /// A newer version of this program wrote it.
    #[error("its label has schema {0}, which this version does not know")]
    Schema(u64),
    /// Not what this program writes.
    #[error("its label cannot be read")]
    Unreadable,
}

#[derive(Deserialize)]
struct Schema {
    schema: u64,
}

#[derive(Deserialize)]
struct Document {
    #[serde(flatten)]
    key: LedgerKey,
    stage: Option<String>,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    superseded: Vec<String>,
}

impl Label {
    /// Reads the label of an image of this kind.
    pub(super) fn read<'a>(
        kind: CacheKind,
        labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<Self, LabelError> {
        let json = labels.into_iter().find(|(key, _)| *key == kind.label()).ok_or(LabelError::Missing)?.1;
        // The schema first: of a newer one nothing else is known.
        let Schema { schema } = serde_json::from_str(json).map_err(|_| LabelError::Unreadable)?;
        if schema != SCHEMA {
            return Err(LabelError::Schema(schema));
        }
        let document: Document = serde_json::from_str(json).map_err(|_| LabelError::Unreadable)?;
        // Nobody builds images of the reserved namespace, so no cache is for one.
        let familiar = |name: String| match name.parse::<ImageReference>() {
            Ok(reference) if !reference.is_reserved() => Ok(reference.repository()),
            Ok(_) | Err(_) => Err(LabelError::Unreadable),
        };
        let LedgerKey { scope, identity } = document.key;
        let image_repository = match &identity.subject {
            Subject::Key(_) => None,
            Subject::Image { repository, .. } => Some(familiar(repository.clone())?),
        };
        // Only a ledger names others.
        let (images, superseded) = match kind {
            CacheKind::Ledger => (document.images, document.superseded),
            CacheKind::Stage | CacheKind::Capture => (Vec::new(), Vec::new()),
        };
        Ok(Self { image_repository, identity, scope, stage: document.stage, images, superseded })
    }

    /// Whose it is, if a run of this `GITHUB_REPOSITORY` asks, or a person at a terminal (`None`).
    pub(super) fn whose(&self, repository: Option<&str>) -> Whose {
        match (repository, self.scope.repository()) {
            // GitHub does not tell upper from lower case in names of repositories.
            (Some(asking), Some(wrote)) if asking.eq_ignore_ascii_case(wrote) => Whose::Ours,
            (Some(_) | None, Some(_)) => Whose::Another,
            (None, None) if self.scope == Scope::Local => Whose::Ours,
            (_, None) => Whose::Unclear,
        }
    }
}

/// What it is of: `build of app, refs/heads/main`.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = &self.stage {
            write!(f, "{stage} of ")?;
        }
        match &self.image_repository {
            Some(repository) => write!(f, "{repository}")?,
            None => write!(f, "a cache-key")?,
        }
        self.scope.reference().map_or(Ok(()), |reference| write!(f, ", {reference}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{CacheKind, LEDGER_LABEL, Label, LabelError, STAGE_LABEL, Whose};

    fn ledger(json: &str) -> Result<Label, LabelError> {
        Label::read(CacheKind::Ledger, &BTreeMap::from([(LEDGER_LABEL.to_owned(), json.to_owned())]))
    }

    #[test]
    fn reads_both_labels() {
        let read = ledger(
            r#"{"schema":1,"class":"trusted","repository":"org/repo","ref":"refs/heads/main",
                "identity":{"image":{"repository":"docker.io/library/app","platforms":[]}},"images":["sha256:1"],"later":{}}"#,
        )
        .unwrap();
        assert_eq!(read.image_repository.as_deref(), Some("app"));
        assert_eq!((read.stage.as_ref(), &read.images), (None, &vec!["sha256:1".to_owned()]));
        assert_eq!(read.scope.repository(), Some("org/repo"));
        assert_eq!(read.to_string(), "app, refs/heads/main");
        let json = r#"{"schema":1,"class":"local","identity":{"key":"k"},"stage":"build"}"#;
        let labels = BTreeMap::from([(STAGE_LABEL.to_owned(), json.to_owned())]);
        let read = Label::read(CacheKind::Stage, &labels).unwrap();
        assert_eq!((read.image_repository.as_ref(), read.to_string().as_str()), (None, "build of a cache-key"));
        assert_eq!(Label::read(CacheKind::Capture, &labels), Ok(read));
        assert_eq!(Label::read(CacheKind::Ledger, &labels), Err(LabelError::Missing));
    }

    #[test]
    fn reads_what_a_build_writes() {
        use crate::cache::ledger::{Identity, LedgerKey, Scope, StageLabel, Subject};
        let scope = Scope::Trusted { repository: "org/repo".into(), reference: "refs/heads/main".into() };
        let subject = Subject::Image { repository: "app".into(), stage: None, platforms: vec!["linux/amd64".into()] };
        let key = LedgerKey { scope, identity: Identity { subject, target: None } };
        let text = StageLabel::new(&key, "build").encode();
        let read = Label::read(CacheKind::Stage, &BTreeMap::from([(STAGE_LABEL.to_owned(), text)])).unwrap();
        assert_eq!((read.to_string().as_str(), read.identity), ("build of app, refs/heads/main", key.identity));
    }

    #[test]
    fn what_it_does_not_understand_is_said() {
        for (json, error) in [
            (r#"{"schema":2,"class":["new"]}"#, LabelError::Schema(2)),
            (r#"{"schema":"1"}"#, LabelError::Unreadable),
            ("{", LabelError::Unreadable),
            ("", LabelError::Unreadable),
            (r#"{"schema":1,"class":"deploy","identity":{"key":"k"}}"#, LabelError::Unreadable),
            (r#"{"schema":1,"class":"local"}"#, LabelError::Unreadable),
            (
                r#"{"schema":1,"class":"local","identity":{"image":{"repository":"Not A Name","platforms":[]}}}"#,
                LabelError::Unreadable,
            ),
            (
                r#"{"schema":1,"class":"local","identity":{"image":{"repository":"watchparty-cache/x","platforms":[]}}}"#,
                LabelError::Unreadable,
            ),
            (r#"{"schema":1,"class":"local","identity":{"key":"k"},"images":"sha256:1"}"#, LabelError::Unreadable),
        ] {
            assert_eq!(ledger(json), Err(error), "{json}");
        }
    }

    #[test]
    fn knows_whose_it_is() {
        let here = Some("org/repo");
        for (repository, class, asking, whose) in [
            (here, "trusted", here, Whose::Ours),
            (here, "untrusted", Some("Org/Repo"), Whose::Ours),
            (Some("org/other"), "trusted", here, Whose::Another),
            (None, "untrusted", here, Whose::Unclear),
            (None, "local", here, Whose::Unclear),
            (None, "local", None, Whose::Ours),
            (here, "trusted", None, Whose::Another),
            (None, "untrusted", None, Whose::Unclear),
        ] {
            let identity = serde_json::json!({"key": "k"});
            let json = serde_json::json!({
                "schema": 1, "class": class, "repository": repository, "ref": "refs/heads/main", "identity": identity
            });
            assert_eq!(ledger(&json.to_string()).unwrap().whose(asking), whose, "{repository:?} {class} {asking:?}");
        }
    }

    #[test]
    fn knows_its_kinds_by_name() {
        for (name, kind) in [
            ("watchparty-cache/ledger:1", Some(CacheKind::Ledger)),
            ("watchparty-cache/stage:1", Some(CacheKind::Stage)),
            ("watchparty-cache/capture:1", Some(CacheKind::Capture)),
            ("watchparty-cache/tombstone:1", None),
            ("watchparty-cache/ledger/x:1", None),
            ("ghcr.io/watchparty-cache/ledger:1", None),
            ("ledger:1", None),
        ] {
            assert_eq!(CacheKind::of(&name.parse().unwrap()), kind, "{name}");
        }
    }
}
