//! The document of a ledger: what is written, what is read back, and what is refused.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{BuildRecord, CachedImage, Earlier, ImageId, LedgerKey, Role, Scope, StepFact};
use crate::engine::LedgerContent;

/// The version of the document that this program writes, and the only one that it reads.
pub(super) const SCHEMA: u32 = 1;
/// Bytes of the largest document that is read or written.
pub const MAX_DOCUMENT: usize = 4 << 20;
/// Bytes of the largest document that is written with its evidence: the engine reads every image's configuration for every
/// list of images, and a larger one would make them slow for everybody.
const MAX_WITH_EVIDENCE: usize = 1 << 20;
/// Bytes of the largest document that is written with records of earlier builds: it is read before every build.
const MAX_WITH_EARLIER: usize = 256 << 10;
/// Builds that a ledger remembers.
pub const HISTORY: usize = 30;
/// Earlier builds of which a ledger remembers results, of each image. Who goes back to an earlier base image finds what the builder
/// still has of it, under keys that tell less than these records do.
pub const EARLIER: usize = 32;

/// What is known of the image cache of one image, for one Git reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    schema: u32,
    /// Whose cache it is, and which builds write it.
    pub key: LedgerKey,
    /// When it was written.
    pub written_at: DateTime<Utc>,
    /// The event of the run that wrote it.
    pub event: Option<String>,
    /// The commit that was built.
    pub commit: Option<String>,
    /// The page of the run.
    pub run_url: Option<String>,
    /// The images that the last build made.
    pub images: Vec<CachedImage>,
    /// What was known of the same images before, of results that are not theirs any more; of each the newest build first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// Images of earlier builds that should have gone and were in use.
    pub superseded: Vec<ImageId>,
    /// The steps of the last build.
    pub steps: Vec<StepFact>,
    /// What went into it, as digests.
    pub evidence: Value,
    /// What these digests are salted with.
    pub salt: Salt,
    /// The last builds, at most [`HISTORY`], the newest last.
    pub history: Vec<BuildRecord>,
}

/// What digests of inputs are salted with, so that they tell nothing of the inputs to who has not got this ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(String);

/// What a build has to write down.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// [`Ledger::event`].
    pub event: Option<String>,
    /// [`Ledger::run_url`].
    pub run_url: Option<String>,
    /// [`Ledger::images`].
    pub images: Vec<CachedImage>,
    /// [`Ledger::earlier`].
    pub earlier: Vec<Earlier>,
    /// [`Ledger::superseded`].
    pub superseded: Vec<ImageId>,
    /// [`Ledger::steps`].
    pub steps: Vec<StepFact>,
    /// [`Ledger::evidence`].
    pub evidence: Value,
    /// [`Ledger::salt`]: [`Salt::keep`].
    pub salt: Salt,
    /// Times and counts; its time becomes the ledger's [`Ledger::written_at`], and its commit [`Ledger::commit`].
    pub record: BuildRecord,
}

/// Why what was found is not used as a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A newer version of this program wrote it.
    #[error("its schema is {schema}, which is newer than this program")]
    Newer {
        /// The document's schema.
        schema: u32,
    },
    /// It is something else.
    #[error("it is not a ledger")]
    Foreign,
    /// It is a ledger, and broken.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is the ledger of another image, ref or repository than its name says: forged, or a collision of hashes.
    #[error("it belongs to another image or ref than its name says")]
    OtherKey,
    /// It was written by a build that this one does not trust.
    #[error("this run may not read it: it was written by {0} builds of another kind, ref or repository")]
    Untrusted(&'static str),
    /// It is too large to be read.
    #[error("it is larger than a ledger can be")]
    TooLarge,
}

/// A ledger cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It is too large even without its evidence.
    #[error("write the ledger: it has {bytes} bytes, and {MAX_DOCUMENT} are the limit")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// JSON cannot say it.
    #[error("write the ledger")]
    Json(#[from] serde_json::Error),
}

impl Ledger {
    /// Opens the ledger that was looked up by its key.
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::OtherKey`] if the document says that it is another's, whatever its name.
    pub fn open(content: &LedgerContent, wanted: &LedgerKey) -> Result<Self, Refusal> {
        let ledger = Self::parse(content)?;
        if ledger.key == *wanted { Ok(ledger) } else { Err(Refusal::OtherKey) }
    }

    /// Opens a ledger that has the name `name` and was found because an image that it names is a cache source of a run in
    /// the scope `reader`.
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::Untrusted`] if such a run may not read it.
    pub fn open_found(content: &LedgerContent, name: &str, reader: &Scope) -> Result<Self, Refusal> {
        let ledger = Self::parse(content)?;
        if ledger.key.name() != name {
            return Err(Refusal::OtherKey);
        }
        if reader.may_read(&ledger.key.scope) { Ok(ledger) } else { Err(Refusal::Untrusted(ledger.key.scope.class())) }
    }

    fn parse(content: &LedgerContent) -> Result<Self, Refusal> {
        let document = match content {
            LedgerContent::Document(document) if document.len() > MAX_DOCUMENT => return Err(Refusal::TooLarge),
            LedgerContent::Document(document) => document.as_bytes(),
            LedgerContent::TooLarge => return Err(Refusal::TooLarge),
            LedgerContent::Foreign => return Err(Refusal::Foreign),
        };
        probe(document)?;
        serde_json::from_slice(document).map_err(|error| Refusal::Unreadable(error.to_string()))
    }

    /// The document's text: JSON, at most [`MAX_DOCUMENT`] bytes.
    ///
    /// Where it would be larger it goes without the oldest records, and then without evidence: a cache that cannot say why it missed
    /// is a cache all the same.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self) -> Result<String, EncodeError> {
        let document = serde_json::to_string(self)?;
        if document.len() <= MAX_WITH_EARLIER || (self.earlier.is_empty() && document.len() <= MAX_WITH_EVIDENCE) {
            return Ok(document);
        }
        if !self.earlier.is_empty() {
            return self.with_less_of_before().encode();
        }
        let document = serde_json::to_string(&Self { evidence: Value::Null, ..self.clone() })?;
        if document.len() <= MAX_DOCUMENT { Ok(document) } else { Err(EncodeError::TooLarge { bytes: document.len() }) }
    }

    /// With the newer half of what is remembered of each image.
    fn with_less_of_before(&self) -> Self {
        let count = |role: &Role| self.earlier.iter().filter(|earlier| earlier.role == *role).count();
        let mut seen: Vec<&Role> = Vec::new();
        let newer = self.earlier.iter().filter(|earlier| {
            let age = seen.iter().filter(|role| ***role == earlier.role).count();
            seen.push(&earlier.role);
            age < count(&earlier.role) / 2
        });
        Self { earlier: newer.cloned().collect(), ..self.clone() }
    }

    /// The ledger that a build leaves in the place of `previous`, which has the same key; one that has not leaves no
    /// history behind.
    pub fn successor(previous: Option<&Self>, key: LedgerKey, build: Build) -> Self {
        let previous = previous.filter(|previous| previous.key == key);
        let mut history = previous.map(|previous| previous.history.clone()).unwrap_or_default();
        history.push(build.record.clone());
        history.drain(..history.len().saturating_sub(HISTORY));
        Self {
            schema: SCHEMA,
            key,
            written_at: build.record.at,
            event: build.event,
            commit: build.record.commit,
            run_url: build.run_url,
            images: build.images,
            earlier: build.earlier,
            superseded: build.superseded,
            steps: build.steps,
            evidence: build.evidence,
            salt: build.salt,
            history,
        }
    }
}

impl Salt {
    /// That of the ledger of the build before, or a new one.
    ///
    /// A branch's first build is compared with the base branch's, and takes its salt over: one reading of the inputs serves
    /// both the comparison and the new ledger.
    pub fn keep(previous: Option<&Ledger>) -> Self {
        previous.map_or_else(|| Self(Uuid::new_v4().simple().to_string()), |previous| previous.salt.clone())
    }

    /// The text: 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Salt {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_salt = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_salt { Ok(Self(text)) } else { Err("the salt is not 16 bytes in hexadecimal digits".to_owned()) }
    }
}

impl From<Salt> for String {
    fn from(salt: Salt) -> Self {
        salt.0
    }
}

/// Whether a text is a document of ours that this program may understand; its schema decides before anything else of it
/// is looked at.
pub(super) fn probe(text: &[u8]) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Probe {
        schema: u32,
    }
    match serde_json::from_slice(text) {
        Ok(Probe { schema: SCHEMA }) => Ok(()),
        Ok(Probe { schema }) if schema > SCHEMA => Err(Refusal::Newer { schema }),
        Ok(Probe { .. }) => Err(Refusal::Foreign),
        // JSON, but not with a schema in it.
        Err(error) if error.is_data() => Err(Refusal::Foreign),
        Err(error) => Err(Refusal::Unreadable(error.to_string())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::DateTime;
    use serde_json::{Value, json};

    use super::{
        Build, EncodeError, HISTORY, Ledger, MAX_DOCUMENT, MAX_WITH_EARLIER, MAX_WITH_EVIDENCE, Refusal, Salt,
    };
    use crate::cache::ledger::{
        BuildKind, BuildRecord, CacheTimes, CachedImage, Earlier, Identity, ImageId, LedgerKey, Role, Scope, StepFact,
        Subject,
    };
    use crate::cache::records::Records;
    use crate::engine::LedgerContent;
    use crate::outcome::build::CacheSource;

    pub(in crate::cache::ledger) fn id(number: u8) -> ImageId {
        format!("sha256:{}", format!("{number:02x}").repeat(32)).parse().unwrap()
    }

    fn key(scope: Scope) -> LedgerKey {
        LedgerKey { scope, identity: Identity { subject: Subject::Key("app".into()), target: None } }
    }

    fn trusted() -> Scope {
        Scope::Trusted { repository: "o/r".into(), reference: "refs/heads/main".into() }
    }

    fn pull(number: u32) -> Scope {
        Scope::Untrusted { repository: Some("o/r".into()), reference: format!("pull/{number}") }
    }

    fn image(role: Role, number: u8) -> CachedImage {
        CachedImage { role, reference: "app:1".into(), id: id(number), records: Records::default() }
    }

    fn build(salt: Salt, second: i64) -> Build {
        Build {
            event: Some("push".into()),
            run_url: None,
            images: vec![image(Role::Final, 0), image(Role::Stage { name: "build".into() }, 1)],
            earlier: Vec::new(),
            superseded: vec![id(7)],
            steps: vec![StepFact {
                stage: Some("build".into()),
                position: 2,
                instruction: "RUN make V=$V".into(),
                cached: true,
                source: CacheSource::Builder,
                seconds: 1.5,
                ran_seconds: Some(20.5),
            }],
            evidence: json!({"files": 3}),
            salt,
            record: BuildRecord {
                run: None,
                at: DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap(),
                commit: Some("c0ffee".into()),
                seconds: 2.5,
                run_seconds: Some(4.5),
                cached: 1,
                total: 2,
                kind: BuildKind::Warm,
                image_bytes: Some(7),
                cache_times: Some(CacheTimes { costs: 0.5, spares: 20.5 }),
            },
        }
    }

    pub(in crate::cache::ledger) fn ledger() -> Ledger {
        Ledger::successor(None, key(trusted()), build(Salt::keep(None), 0))
    }

    fn of(scope: Scope) -> Ledger {
        Ledger { key: key(scope), ..ledger() }
    }

    fn content(ledger: &Ledger) -> LedgerContent {
        LedgerContent::Document(ledger.encode().unwrap())
    }

    #[test]
    fn has_a_shape_that_others_can_rely_on() {
        let salt = Salt::try_from("0123456789abcdef0123456789abcdef".to_owned()).unwrap();
        let ledger = Ledger { salt, ..ledger() };
        insta::assert_snapshot!(serde_json::to_string_pretty(&ledger).unwrap());
    }

    #[test]
    fn reads_back_what_it_wrote_and_does_not_mind_what_is_new() {
        let ledger = ledger();
        assert_eq!(Ledger::open(&content(&ledger), &ledger.key), Ok(ledger.clone()));
        let mut document: Value = serde_json::from_str(&ledger.encode().unwrap()).unwrap();
        document["new"] = json!([1]);
        document["history"][0]["new"] = json!({"a": 1});
        document["key"]["identity"]["new"] = json!(1);
        assert_eq!(Ledger::open(&LedgerContent::Document(document.to_string()), &ledger.key), Ok(ledger));
    }

    #[test]
    fn refuses_what_is_not_its_own_and_says_why() {
        let ledger = ledger();
        let text = ledger.encode().unwrap();
        let open = |text: &str| Ledger::open(&LedgerContent::Document(text.to_owned()), &ledger.key).unwrap_err();
        assert_eq!(open(&text.replace("\"schema\":1", "\"schema\":2")), Refusal::Newer { schema: 2 });
        assert_eq!(open("{\"schema\":2,\"key\":7}"), Refusal::Newer { schema: 2 });
        for foreign in ["{}", "[]", "7", "null", "{\"schema\":\"1\"}", "{\"schema\":0}", "{\"schema\":-1}"] {
            assert_eq!(open(foreign), Refusal::Foreign, "{foreign}");
        }
        let cut = text.get(..text.len() / 2).unwrap();
        let depth = format!("{{\"schema\":1,\"evidence\":{}", "[".repeat(100_000));
        for broken in [
            "",
            cut,
            &depth,
            "{\"schema\":1}",
            // What would be removed or asked for is an id, never a name.
            &text.replace(id(0).as_str(), "app:latest"),
            &text.replace(id(7).as_str(), "app:latest"),
            &text.replace(ledger.salt.as_str(), "pepper"),
            &text.replace("\"records\":{\"layers\"", "\"records\":{\"layer\""),
            &text.replace("\"chains\":[]", "\"chains\":[7]"),
        ] {
            assert!(matches!(open(broken), Refusal::Unreadable(_)), "{:?}", open(broken));
        }
        assert_eq!(open(&" ".repeat(MAX_DOCUMENT + 1)), Refusal::TooLarge);
        assert_eq!(Ledger::open(&LedgerContent::TooLarge, &ledger.key), Err(Refusal::TooLarge));
        assert_eq!(Ledger::open(&LedgerContent::Foreign, &ledger.key), Err(Refusal::Foreign));
    }

    /// Whatever is put under a trusted name, the document tells who wrote it.
    #[test]
    fn a_ledger_in_anothers_place_is_refused() {
        let main = key(trusted());
        let other_ref = Scope::Trusted { repository: "o/r".into(), reference: "refs/heads/x".into() };
        let other_repository = Scope::Trusted { repository: "o/x".into(), reference: "refs/heads/main".into() };
        for scope in [pull(1), other_ref, other_repository, Scope::Local] {
            let found = content(&of(scope.clone()));
            assert_eq!(Ledger::open(&found, &main), Err(Refusal::OtherKey), "{scope:?}");
            assert_eq!(Ledger::open_found(&found, &main.name(), &main.scope), Err(Refusal::OtherKey), "{scope:?}");
        }
        let identity = Identity { target: Some("web".into()), ..main.identity.clone() };
        let wanted = LedgerKey { identity, ..main.clone() };
        assert_eq!(Ledger::open(&content(&of(trusted())), &wanted), Err(Refusal::OtherKey));
    }

    #[test]
    fn what_is_found_through_another_door_must_be_trusted() {
        for (writer, reader, may) in [
            (trusted(), trusted(), true),
            (trusted(), pull(1), true),
            (pull(1), pull(1), true),
            (pull(1), trusted(), false),
            (pull(1), pull(2), false),
            (Scope::Local, trusted(), false),
            (Scope::Local, pull(1), false),
            (trusted(), Scope::Local, false),
        ] {
            let ledger = of(writer.clone());
            let opened = Ledger::open_found(&content(&ledger), &ledger.key.name(), &reader);
            let expected = if may { Ok(ledger) } else { Err(Refusal::Untrusted(writer.class())) };
            assert_eq!(opened, expected, "{writer:?} {reader:?}");
        }
    }

    #[test]
    fn a_successor_keeps_salt_and_history() {
        let mut ledger = ledger();
        for second in 1..40 {
            let next = Ledger::successor(Some(&ledger), ledger.key.clone(), build(Salt::keep(Some(&ledger)), second));
            assert_eq!(next.salt, ledger.salt);
            assert_eq!(next.history.last().map(|build| build.at), Some(next.written_at));
            ledger = next;
        }
        let seconds: Vec<_> = ledger.history.iter().map(|build| build.at.timestamp() - 1_800_000_000).collect();
        assert_eq!(seconds, (10..40).collect::<Vec<_>>());
        assert_eq!(ledger.history.len(), HISTORY);

        let stranger = Ledger::successor(Some(&ledger), key(pull(1)), build(Salt::keep(None), 0));
        assert_eq!(stranger.history.len(), 1);
        assert_ne!(stranger.salt, ledger.salt);
    }

    #[test]
    fn goes_without_the_oldest_records_rather_than_be_slow() {
        let stage = |number: usize| Role::Stage { name: format!("{number} {}", "x".repeat(MAX_WITH_EARLIER / 8)) };
        let record = |role: Role| Earlier { role, records: Records::default() };
        let of_two = |builds: usize| {
            let earlier = (0..2).flat_map(|number| (0..builds).map(move |_| record(stage(number))));
            Ledger { earlier: earlier.collect(), ..ledger() }
        };
        let all = of_two(5);
        let written = Ledger::open(&content(&all), &all.key).unwrap();
        assert_eq!(written.earlier, of_two(2).earlier, "half of each");
        assert_eq!(written, Ledger { earlier: written.earlier.clone(), ..all });
        let few = of_two(2);
        assert_eq!(Ledger::open(&content(&few), &few.key), Ok(few));
        let huge = Ledger { run_url: Some("x".repeat(MAX_WITH_EARLIER)), ..of_two(2) };
        assert_eq!(Ledger::open(&content(&huge), &huge.key), Ok(Ledger { earlier: Vec::new(), ..huge }));
    }

    #[test]
    fn goes_without_evidence_rather_than_not_at_all() {
        let large = Ledger { evidence: json!("x".repeat(MAX_WITH_EVIDENCE)), ..ledger() };
        let written = Ledger::open(&content(&large), &large.key).unwrap();
        assert_eq!(written, Ledger { evidence: Value::Null, ..large.clone() });
        let hopeless = Ledger { run_url: Some("x".repeat(MAX_DOCUMENT)), ..large };
        assert!(matches!(hopeless.encode(), Err(EncodeError::TooLarge { bytes }) if bytes > MAX_DOCUMENT));
    }
}
