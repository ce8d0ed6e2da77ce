//! Names of the images that the cache is kept in: a person who lists images understands them, and no two keys share one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Access, Identity, Scope, Subject};
use crate::engine::LEDGER_REPOSITORY;

/// The repository of all stage images.
pub const STAGE_REPOSITORY: &str = "watchparty-cache/stage";
/// The repository of images that exist only while records are read from them.
pub const CAPTURE_REPOSITORY: &str = "watchparty-cache/capture";

/// Bytes of the readable parts of a tag. With the hash and the dots between them a tag has at most 121 bytes, and 128 are
/// allowed.
const IDENTITY_BYTES: usize = 48;
const STAGE_BYTES: usize = 24;
const REF_BYTES: usize = 30;
/// Bytes of the hash: 16 hexadecimal digits. A collision is found out by the key in the document.
const HASH_BYTES: usize = 8;

/// What one ledger is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LedgerKey {
    /// Which builds write it.
    #[serde(flatten)]
    pub scope: Scope,
    /// Whose cache it is.
    pub identity: Identity,
}

impl LedgerKey {
    /// The name of the image that holds the ledger: `watchparty-cache/ledger:<identity>.<ref>.<hash>`.
    pub fn name(&self) -> String {
        let (identity, reference) = (self.readable_identity(), readable(self.scope.word(), REF_BYTES));
        format!("{LEDGER_REPOSITORY}:{identity}.{reference}.{}", self.fingerprint().finish())
    }

    /// The name of the image that keeps a stage: `watchparty-cache/stage:<identity>.<stage>.<ref>.<hash>`.
    pub fn stage_name(&self, stage: &str) -> String {
        let (identity, reference) = (self.readable_identity(), readable(self.scope.word(), REF_BYTES));
        let hash = self.fingerprint().field("stage").field(stage).finish();
        format!("{STAGE_REPOSITORY}:{identity}.{}.{reference}.{hash}", readable(stage, STAGE_BYTES))
    }

    fn readable_identity(&self) -> String {
        readable(&self.identity.words().collect::<Vec<_>>().join("."), IDENTITY_BYTES)
    }

    fn fingerprint(&self) -> Fingerprint {
        let fingerprint = Fingerprint::default()
            .field(self.scope.class())
            .optional(self.scope.repository())
            .optional(self.scope.reference())
            .optional(self.identity.target.as_deref());
        match &self.identity.subject {
            Subject::Key(key) => fingerprint.field("key").field(key),
            Subject::Image { repository, stage, platforms } => platforms.iter().fold(
                fingerprint
                    .field("image")
                    .field(repository)
                    .optional(stage.as_deref())
                    .field(&platforms.len().to_string()),
                |fingerprint, platform| fingerprint.field(platform),
            ),
        }
    }
}

impl Access {
    /// The keys of the ledgers that a run looks for, in this order; the first is its own.
    pub fn keys(&self, identity: &Identity) -> Vec<LedgerKey> {
        self.reads.iter().map(|scope| LedgerKey { scope: scope.clone(), identity: identity.clone() }).collect()
    }
}

/// A name that no other run uses: `watchparty-cache/capture:<random>`.
pub fn capture_name() -> String {
    format!("{CAPTURE_REPOSITORY}:{}", Uuid::new_v4().simple())
}

/// A hash over fields that cannot run into each other: each is preceded by its length.
#[derive(Default)]
struct Fingerprint(Sha256);

impl Fingerprint {
    fn field(mut self, text: &str) -> Self {
        self.0.update([1]);
        self.0.update(text.len().to_string());
        self.0.update([b':']);
        self.0.update(text);
        self
    }

    fn optional(mut self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.field(text),
            None => {
                self.0.update([0]);
                self
            }
        }
    }

    fn finish(self) -> String {
        self.0.finalize().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// As much of a text as a tag can hold: what is not allowed becomes a dash, and dashes and dots do not begin it.
fn readable(text: &str, limit: usize) -> String {
    let mut word = String::new();
    for character in text.chars() {
        let character = if character.is_ascii_alphanumeric() || "._".contains(character) { character } else { '-' };
        if word.len() < limit && !(character == '-' && word.ends_with('-')) {
            word.push(character);
        }
    }
    match word.trim_matches(['-', '.']) {
        "" => "unnamed".to_owned(),
        word => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{LedgerKey, capture_name};
    use crate::cache::ledger::{Access, Identity, Scope, Subject};
    use crate::image::ImageReference;

    fn image(repository: &str, stage: Option<&str>) -> Identity {
        let platforms = vec!["linux/amd64".to_owned()];
        let subject = Subject::Image { repository: repository.into(), stage: stage.map(str::to_owned), platforms };
        Identity { subject, target: None }
    }

    fn trusted(reference: &str) -> Scope {
        Scope::Trusted { repository: "o/r".into(), reference: reference.into() }
    }

    #[test]
    fn a_person_understands_them() {
        let name = |scope: Scope, identity: &Identity| LedgerKey { scope, identity: identity.clone() }.name();
        let identity = image("ghcr.io/org/app", Some("run"));
        assert_eq!(
            name(trusted("refs/heads/feature/x"), &identity),
            "watchparty-cache/ledger:ghcr.io-org-app.run.feature-x.9f8d12b19af343dd"
        );
        assert!(name(trusted("refs/tags/v1.2"), &identity).contains(":ghcr.io-org-app.run.v1.2."));
        assert!(name(Scope::Local, &image("app", None)).contains(":app.local."));
        let pull = Scope::Untrusted { repository: None, reference: "pull/42".into() };
        assert!(name(pull, &image("app", None)).contains(":app.pull-42."));
        let keyed = Identity { subject: Subject::Key("ü !".into()), target: Some("web".into()) };
        assert!(name(Scope::Local, &keyed).contains(":web.local."), "{}", name(Scope::Local, &keyed));

        let key = LedgerKey { scope: trusted("refs/heads/main"), identity: image("app", None) };
        assert!(key.stage_name("build/deps").starts_with("watchparty-cache/stage:app.build-deps.main."));
        assert_ne!(key.stage_name("a"), key.stage_name("b"));
        assert_ne!(capture_name(), capture_name());
        assert!(capture_name().parse::<ImageReference>().unwrap().is_reserved());
    }

    #[test]
    fn a_run_looks_for_its_own_first() {
        let access = Access {
            own: trusted("refs/heads/x"),
            reads: vec![trusted("refs/heads/x"), trusted("refs/heads/main")],
            default_branch: None,
        };
        let identity = image("app", None);
        let keys = access.keys(&identity);
        let of: Vec<_> = keys.iter().map(|key| (&key.scope, &key.identity)).collect();
        assert_eq!(of, [(&access.own, &identity), (&access.reads[1], &identity)]);
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        let text = || prop_oneof!["[ab/]{0,3}", ".{0,200}"];
        prop_oneof![
            Just(Scope::Local),
            (text(), text()).prop_map(|(repository, reference)| Scope::Trusted { repository, reference }),
            (prop::option::of(text()), text())
                .prop_map(|(repository, reference)| Scope::Untrusted { repository, reference }),
        ]
    }

    fn any_key() -> impl Strategy<Value = LedgerKey> {
        let text = || prop_oneof!["[ab]{0,2}", ".{0,200}"];
        let subject = prop_oneof![
            text().prop_map(Subject::Key),
            (text(), prop::option::of(text()), prop::collection::vec(text(), 0..3))
                .prop_map(|(repository, stage, platforms)| Subject::Image { repository, stage, platforms }),
        ];
        (any_scope(), subject, prop::option::of(text()))
            .prop_map(|(scope, subject, target)| LedgerKey { scope, identity: Identity { subject, target } })
    }

    proptest! {
        #[test]
        fn every_key_has_a_valid_name_of_its_own(keys in prop::collection::vec(any_key(), 1..8), stage in ".{0,99}") {
            let mut names = BTreeMap::new();
            for key in keys {
                for name in [key.name(), key.stage_name(&stage)] {
                    let reference: ImageReference = name.parse().unwrap();
                    prop_assert!(reference.is_reserved());
                    prop_assert_eq!(reference.to_string(), name.clone());
                    if let Some(other) = names.insert(name, key.clone()) {
                        prop_assert_eq!(other, key.clone());
                    }
                }
                let json = serde_json::to_string(&key).unwrap();
                prop_assert_eq!(serde_json::from_str::<LedgerKey>(&json).unwrap(), key);
            }
        }
    }
}
