//! Patterns that name images: by reference, id, label or age.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;

use super::{ImageReference, RESERVED_NAMESPACE};

/// A pattern of the inputs `images` and `keep`.
///
/// | form | names |
/// |---|---|
/// | `app`, `app:*`, `ghcr.io/org/*`, `app:v[0-9]?`, `**` | references; `*`, `?` and `[…]` stay within a path component, `**` does not; without a tag every tag of the repository |
/// | `app@sha256:…` | the image with this digest, under its names in the repository |
/// | `sha256:0123456789ab…` | the image with this id (12 digits at least), under all its names |
/// | `label=key`, `label=key=value` | images with the label, under all their names |
/// | `older-than=7d` | images made before that, in `s`, `m`, `h`, `d` or `w` |
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Reference { repository: Regex, tag: Option<Regex> },
    Digest { repository: Regex, digest: String },
    Id(String),
    Label { key: String, value: Option<String> },
    OlderThan(TimeDelta),
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PatternError {
    reason: String,
}

impl PatternError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        "write one a line, or with commas between them: an image name with `*`, `?` and `[a-z]` (`app:1.*`, `ghcr.io/org/*`; \
         `**` goes across slashes), `sha256:<id>`, `label=key[=value]` or `older-than=7d`"
    }
}

/// What a pattern looks at: an image under one of its names.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The name; `None` for an image without names.
    pub name: Option<&'a ImageReference>,
    /// The engine's id of the image.
    pub id: &'a str,
    /// Its digests, as `repository@sha256:…`.
    pub digests: &'a [String],
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// When it was made; `None` if it does not say.
    pub created: Option<DateTime<Utc>>,
}

impl Pattern {
    /// Whether this pattern narrows down what others name, when it stands in `images`.
    pub fn is_restriction(&self) -> bool {
        matches!(self.kind, Kind::OlderThan(_))
    }

    /// Whether it goes by names alone.
    pub fn is_by_name(&self) -> bool {
        matches!(self.kind, Kind::Reference { .. })
    }

    /// Whether it goes by a label, which stands in an image alone.
    pub fn is_by_label(&self) -> bool {
        matches!(self.kind, Kind::Label { .. })
    }

    /// Whether it goes by the digest that a registry gives.
    pub fn is_by_digest(&self) -> bool {
        matches!(self.kind, Kind::Digest { .. })
    }

    /// Whether it goes by an engine's id of an image.
    pub fn is_by_id(&self) -> bool {
        matches!(self.kind, Kind::Id(_))
    }

    /// Whether it names this, which is not an image: a builder. Patterns are in lower case, names of builders need not be.
    pub fn names_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Reference { repository, tag: None } if repository.is_match(&word.to_lowercase()))
    }

    /// Whether it names images of this reference's repository, some or all.
    pub fn names_repository_of(&self, reference: &ImageReference) -> bool {
        match &self.kind {
            Kind::Reference { repository, .. } | Kind::Digest { repository, .. } => {
                names_repository(repository, reference)
            }
            Kind::Id(_) | Kind::Label { .. } | Kind::OlderThan(_) => false,
        }
    }

    /// Whether it names every image of this reference's repository.
    pub fn names_all_of(&self, reference: &ImageReference) -> bool {
        matches!(&self.kind, Kind::Reference { repository, tag: None } if names_repository(repository, reference))
    }

    /// Whether it names this reference, whatever image that is: what `keep` means for a tag in a registry.
    pub fn names(&self, reference: &ImageReference) -> bool {
        match &self.kind {
            Kind::Reference { repository, tag } => {
                names_repository(repository, reference)
                    && match (tag, reference.tag()) {
                        (None, _) => true,
                        (Some(pattern), Some(tag)) => pattern.is_match(tag),
                        (Some(_), None) => false,
                    }
            }
            Kind::Digest { repository, digest } => {
                names_repository(repository, reference) && reference.digest() == Some(digest)
            }
            Kind::Id(_) | Kind::Label { .. } | Kind::OlderThan(_) => false,
        }
    }

    /// Whether it names this image, under this name of it.
    pub fn matches(&self, image: &Candidate<'_>, now: DateTime<Utc>) -> bool {
        let reference = image.name;
        match &self.kind {
            Kind::Reference { .. } => reference.is_some_and(|reference| self.names(reference)),
            Kind::Digest { repository, digest } => reference.is_some_and(|reference| {
                names_repository(repository, reference)
                    && image.digests.iter().filter_map(|known| known.split_once('@')).any(|(name, known)| {
                        known == digest
                            && name
                                .parse()
                                .is_ok_and(|known: ImageReference| known.repository() == reference.repository())
                    })
            }),
            Kind::Id(prefix) => image.id.starts_with(prefix.as_str()),
            Kind::Label { key, value } => {
                image.labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|wanted| found == wanted))
            }
            // An image that does not say how old it is might be new: in `images` it stays, and a `keep` by age is a wish
            // about old images only.
            Kind::OlderThan(age) => {
                image.created.is_some_and(|created| now.checked_sub_signed(*age).is_some_and(|limit| created < limit))
            }
        }
    }
}

/// Both the familiar form and the full one match: `app` and `docker.io/library/app` name the same repository.
fn names_repository(pattern: &Regex, reference: &ImageReference) -> bool {
    pattern.is_match(&reference.repository()) || pattern.is_match(&format!("{}/{}", reference.host(), reference.path()))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        let kind = parse(text).map_err(|reason| PatternError { reason })?;
        Ok(Self { text: text.to_owned(), kind })
    }
}

fn parse(text: &str) -> Result<Kind, String> {
    if let Some(label) = text.strip_prefix("label=") {
        let (key, value) = label.split_once('=').map_or((label, None), |(key, value)| (key, Some(value.to_owned())));
        return if key.is_empty() {
            Err("the label has no name".to_owned())
        } else {
            Ok(Kind::Label { key: key.to_owned(), value })
        };
    }
    if let Some(age) = text.strip_prefix("older-than=") {
        return parse_age(age).map(Kind::OlderThan);
    }
    if let Some(id) = text.strip_prefix("sha256:") {
        return if (12..=64).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Kind::Id(text.to_owned()))
        } else {
            Err("an id has 12 to 64 hexadecimal digits, in lower case".to_owned())
        };
    }
    parse_reference(text)
}

fn parse_reference(text: &str) -> Result<Kind, String> {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (repository, tag) = match name.rsplit_once(':') {
        // A colon before a slash belongs to the host's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    if repository.is_empty() {
        return Err("it names no repository".to_owned());
    }
    if let Some(upper) = repository.chars().find(char::is_ascii_uppercase) {
        return Err(format!("image names are in lower case, and this has '{upper}'"));
    }
    if repository.trim_start_matches("docker.io/").split('/').next() == Some(RESERVED_NAMESPACE)
        && repository.contains('/')
    {
        return Err(format!(
            "{RESERVED_NAMESPACE}/ is kept for this program's own images, which it looks after by itself"
        ));
    }
    let repository = glob(repository, "/.:_-")?;
    match (tag, digest) {
        (None, Some(digest)) => match format!("a@{digest}").parse::<ImageReference>() {
            Ok(_) => Ok(Kind::Digest { repository, digest: digest.to_owned() }),
            Err(error) => Err(error.to_string()),
        },
        (Some(_), Some(_)) => Err("give a tag or a digest, not both".to_owned()),
        (Some("*" | "**") | None, None) => Ok(Kind::Reference { repository, tag: None }),
        (Some(""), None) => Err("the tag is empty".to_owned()),
        (Some(tag), None) => Ok(Kind::Reference { repository, tag: Some(glob(tag, "._-")?) }),
    }
}

/// Translates a glob to a regular expression over the whole text.
///
/// `**/` matches any number of components, also none; any other `**` matches anything; `*` and `?` do not match a slash.
pub(crate) fn glob(pattern: &str, punctuation: &str) -> Result<Regex, String> {
    let mut expression = String::from("^");
    let mut rest = pattern;
    loop {
        if let Some(after) = rest.strip_prefix("**/") {
            expression.push_str("(?:.*/)?");
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("**") {
            expression.push_str(".*");
            rest = after.trim_start_matches('*');
            continue;
        }
        let mut characters = rest.chars();
        let Some(character) = characters.next() else { break };
        rest = characters.as_str();
        match character {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' => {
                let (class, after) = rest.split_once(']').ok_or("a [ has no ]")?;
                expression.push_str(&character_class(class)?);
                rest = after;
            }
            _ if character.is_ascii_alphanumeric() || punctuation.contains(character) => {
                expression.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
            }
            other => return Err(format!("image names do not have '{other}'")),
        }
    }
    expression.push('$');
    Regex::new(&expression).map_err(|error| error.to_string())
}

/// `[a-z]`, `[!0-9]` or `[^0-9]`.
fn character_class(class: &str) -> Result<String, String> {
    let (negated, members) = match class.strip_prefix(['!', '^']) {
        Some(members) => ("^", members),
        None => ("", class),
    };
    if members.is_empty() {
        return Err("a [] is empty".to_owned());
    }
    if members.contains("--") {
        // A regular expression would take away what follows.
        return Err("a […] has '--', which is no range".to_owned());
    }
    match members.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c)) {
        Some(other) => Err(format!("image names do not have '{other}'")),
        // A dot is an ordinary member; a dash makes a range, as in a regular expression, and a slash may lie in it: `.-9`.
        None => Ok(format!("[[{negated}{members}]&&[^/]]")),
    }
}

/// An age as a person writes it: a number and one of `s`, `m`, `h`, `d`, `w`.
pub(crate) fn parse_age(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("'{text}' is not an age like 12h, 7d or 2w");
    let (unit_at, unit) = text.char_indices().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number = text.get(..unit_at).and_then(|number| number.parse::<u32>().ok()).ok_or_else(wrong)?;
    i64::from(number).checked_mul(seconds).and_then(TimeDelta::try_seconds).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::{Candidate, Pattern};
    use crate::image::ImageReference;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

    /// An image without names.
    fn image() -> Candidate<'static> {
        Candidate { name: None, id: DIGEST, digests: &[], labels: &NO_LABELS, created: None }
    }

    fn matches(pattern: &str, text: &str) -> bool {
        let name: ImageReference = text.parse().unwrap();
        pattern.parse::<Pattern>().unwrap().matches(&Candidate { name: Some(&name), ..image() }, Utc::now())
    }

    #[test]
    fn matches_references() {
        for (pattern, yes, no) in [
            ("app", vec!["app", "app:1", "docker.io/library/app:x"], vec!["org/app", "apps", "ghcr.io/app"]),
            ("app:*", vec!["app", "app:1"], vec!["org/app"]),
            ("app:latest", vec!["app"], vec!["app:1", "org/app"]),
            ("docker.io/library/app", vec!["app:1"], vec!["org/app"]),
            ("org/app:v?", vec!["org/app:v1"], vec!["org/app:v10", "app:v1", "org/app:v"]),
            ("*", vec!["app"], vec!["org/app", "ghcr.io/org/app"]),
            ("ghcr.io/org/*", vec!["ghcr.io/org/app:1"], vec!["ghcr.io/org/a/b", "ghcr.io/other/app", "org/app"]),
            ("ghcr.io/**", vec!["ghcr.io/org/app:1", "ghcr.io/org/a/b"], vec!["org/app"]),
            ("ghcr.io/**/app", vec!["ghcr.io/org/app", "ghcr.io/a/b/app", "ghcr.io/app"], vec!["ghcr.io/org/myapp"]),
            ("**", vec!["app", "org/app:1", "localhost:5000/a/b/c"], vec![]),
            ("localhost:5000/app", vec!["localhost:5000/app:1"], vec!["localhost:5001/app"]),
            ("app:v[0-9]", vec!["app:v1"], vec!["app:vx", "app:v12"]),
            ("app:[!v]*", vec!["app:1"], vec!["app:v1"]),
            ("a.p", vec!["a.p"], vec!["aap"]),
            ("ap[p-q]", vec!["app", "apq"], vec!["apr"]),
            ("org[.-9]app", vec!["org.app", "org1app"], vec!["org/app"]),
            ("org[!a-z]app", vec!["org.app", "org1app"], vec!["org/app", "orgxapp"]),
            ("a[-.]p", vec!["a-p", "a.p"], vec!["a/p", "abp"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} does not match {text}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} matches {text}");
            }
        }
    }

    #[test]
    fn matches_by_digest_id_label_and_age() {
        let now = Utc::now();
        let digests = [format!("ghcr.io/org/app@{DIGEST}")];
        let under = |pattern: &str, text: &str| {
            let name: ImageReference = text.parse().unwrap();
            let image = Candidate { name: Some(&name), digests: &digests, ..image() };
            pattern.parse::<Pattern>().unwrap().matches(&image, now)
        };
        assert!(under(&format!("ghcr.io/org/*@{DIGEST}"), "ghcr.io/org/app:1"));
        assert!(!under(&format!("ghcr.io/org/*@{DIGEST}"), "ghcr.io/org/other:1"));
        assert!(under("ghcr.io/org/app", &format!("ghcr.io/org/app@{DIGEST}")));
        assert!(!under("ghcr.io/org/app:latest", &format!("ghcr.io/org/app@{DIGEST}")));

        let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        let image = || Candidate { labels: &labels, ..image() };
        let nameless = |pattern: &str, image: &Candidate<'_>| pattern.parse::<Pattern>().unwrap().matches(image, now);
        assert!(nameless("sha256:0123456789ab", &image()));
        assert!(!nameless("sha256:1123456789ab", &image()));
        assert!(nameless("label=team", &image()) && nameless("label=team=blue", &image()));
        assert!(!nameless("label=team=red", &image()) && !nameless("label=tea", &image()));
        assert!(!nameless("**", &image()), "a name pattern matched an image without names");

        let old = |age: TimeDelta| Candidate { created: Some(now - age), ..image() };
        assert!(nameless("older-than=7d", &old(TimeDelta::days(8))));
        assert!(!nameless("older-than=7d", &old(TimeDelta::days(6))));
        assert!(!nameless("older-than=7d", &image()), "no date counts as old");
        assert!(!nameless("older-than=4294967295w", &old(TimeDelta::days(8))), "beyond the calendar");
    }

    #[test]
    fn refuses_and_says_why() {
        for (pattern, reason) in [
            ("", "it names no repository"),
            (":latest", "it names no repository"),
            ("App", "image names are in lower case, and this has 'A'"),
            ("app:", "the tag is empty"),
            ("app[", "a [ has no ]"),
            ("app[]", "a [] is empty"),
            ("app[a--z]", "a […] has '--', which is no range"),
            ("app[a/b]", "image names do not have '/'"),
            ("a b", "image names do not have ' '"),
            ("a\\*", "image names do not have '\\'"),
            ("app:1@sha256:0", "give a tag or a digest, not both"),
            ("app@sha256:0", "invalid digest 'sha256:0'"),
            ("sha256:0123", "an id has 12 to 64 hexadecimal digits, in lower case"),
            ("label=", "the label has no name"),
            ("older-than=soon", "'soon' is not an age like 12h, 7d or 2w"),
            ("older-than=7", "'7' is not an age like 12h, 7d or 2w"),
            ("older-than=", "'' is not an age like 12h, 7d or 2w"),
            (
                "watchparty-cache/*",
                "watchparty-cache/ is kept for this program's own images, which it looks after by itself",
            ),
        ] {
            let error = pattern.parse::<Pattern>().unwrap_err();
            assert_eq!(error.to_string(), reason, "{pattern}");
        }
        // A range the wrong way round is for the regular expression to find.
        assert!("app[z-a]".parse::<Pattern>().is_err());
    }

    proptest! {
        #[test]
        fn a_reference_matches_itself_and_its_repository(
            text in "([a-z]{1,4}(\\.io|:[0-9]{4})/)?[a-z][a-z0-9]{0,5}(/[a-z0-9]{1,3}){0,2}", tag in "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,5}"
        ) {
            let full = format!("{text}:{tag}");
            prop_assume!(full.parse::<crate::image::ImageReference>().is_ok());
            prop_assert!(matches(&full, &full));
            prop_assert!(matches(&text, &full));
            prop_assert!(matches("**", &full));
            let other = format!("{full}x");
            prop_assert!(!matches(&full, &other));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let now = DateTime::from_timestamp(0, 0).unwrap();
            let name = "app:1".parse().unwrap();
            if let Ok(pattern) = text.parse::<Pattern>() {
                pattern.matches(&Candidate { name: Some(&name), ..image() }, now);
            }
        }
    }
}
