//! Which tags of a repository go, and what stays and why: a pure function.
//!
//! A registry deletes a manifest with every tag that names it, so a tag goes only if nothing that stays needs its manifest.

use std::collections::BTreeSet;
use std::fmt;

use crate::image::ImageReference;
use crate::image::pattern::Pattern;
use crate::registry::{Digest, RegistrySelector, Repository};
use crate::survey::clear::registry::{RepositorySurvey, SurveyedTag};

#[cfg(test)]
mod tests;

/// What becomes of the tags of a repository that are named. [`fmt::Display`] is the text of a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryPlan {
    /// The repository.
    pub repository: Repository,
    /// Whether the registry knows it.
    pub exists: bool,
    /// The tags that a selector names, in order.
    pub tags: Vec<PlannedTag>,
}

/// A tag that a selector names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTag {
    /// The tag.
    pub tag: String,
    /// The manifest that it names.
    pub digest: Digest,
    /// Why it stays; `None` if it goes.
    pub keep: Option<TagReason>,
}

/// Why a tag stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagReason {
    /// The input `keep` names it.
    Keep(String),
    /// The input `keep` might name it: it goes by what no registry tells of a tag, the id, a label or the age of an image.
    Unknown(String),
    /// Its manifest has another tag, which stays.
    AlsoTagged(String),
    /// Its manifest is part of an index that stays.
    PartOf(String),
    /// It holds signatures or attestations of a manifest that stays.
    Describes(String),
}

impl TagReason {
    /// Whether what was asked for is not done because of it: a cache that could be used is still there.
    fn is_in_the_way(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::AlsoTagged(_) | Self::PartOf(_) => true,
            Self::Keep(_) | Self::Describes(_) => false,
        }
    }
}

impl fmt::Display for TagReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(pattern) => write!(f, "keep: {pattern}"),
            Self::Unknown(pattern) => write!(f, "keep: {pattern}, which a registry does not tell of a tag"),
            Self::AlsoTagged(tag) => write!(f, "also tagged {tag}"),
            Self::PartOf(tag) => write!(f, "part of {tag}"),
            Self::Describes(tag) => write!(f, "it describes {tag}"),
        }
    }
}

impl RegistryPlan {
    /// Plans a clear of what the selectors name, but for what `keep` names and for what stays with something that does.
    pub fn new(survey: &RepositorySurvey, selectors: &[RegistrySelector], keep: &[Pattern]) -> Self {
        let of_it = |selector: &&RegistrySelector| *selector.repository() == survey.repository;
        let is_named = |tag: &str| selectors.iter().filter(of_it).any(|selector| selector.names(tag));
        let mut tags: Vec<PlannedTag> = Vec::new();
        let mut staying: Vec<&SurveyedTag> = Vec::new();
        for surveyed in &survey.tags {
            let named = is_named(&surveyed.tag);
            let keep = kept_by(&survey.repository, surveyed, keep);
            if !named || keep.is_some() {
                staying.push(surveyed);
            }
            if named {
                tags.push(PlannedTag { tag: surveyed.tag.clone(), digest: surveyed.digest.clone(), keep });
            }
        }
        protect(&mut tags, survey, staying);
        Self { repository: survey.repository.clone(), exists: survey.exists, tags }
    }

    /// The manifests that go, each with its tags.
    pub fn removals<'a>(&'a self) -> Vec<(&'a Digest, Vec<&'a PlannedTag>)> {
        let going = || self.tags.iter().filter(|planned| planned.keep.is_none());
        let digests: BTreeSet<&Digest> = going().map(|planned| &planned.digest).collect();
        let with_tags = |digest: &'a Digest| (digest, going().filter(|planned| planned.digest == *digest).collect());
        digests.into_iter().map(with_tags).collect()
    }

    /// What is left, if this is the plan after a clear. Of a repository that the registry does not know nobody can say that it
    /// is cleared: its name may be misspelt, and some registries say the same to whoever may not see it.
    pub fn left(&self) -> Vec<String> {
        if !self.exists {
            return vec![format!(
                "{}: the registry knows no such repository, or does not show it to this login; check the name and \
                 `registry-auth`",
                self.repository
            )];
        }
        let left = self.tags.iter().filter_map(|planned| {
            let name = self.name_of(planned);
            match &planned.keep {
                None => Some(format!("tag {name} is still there")),
                Some(reason) if reason.is_in_the_way() => Some(format!("tag {name} stays: {reason}")),
                Some(_) => None,
            }
        });
        left.collect()
    }

    /// A tag with its repository.
    pub fn name_of(&self, planned: &PlannedTag) -> String {
        format!("{}:{}", self.repository, planned.tag)
    }
}

/// The entry of `keep` that names a tag, by its name or digest, or one of which a registry cannot tell: then it stays, too.
fn kept_by(repository: &Repository, surveyed: &SurveyedTag, keep: &[Pattern]) -> Option<TagReason> {
    let by_tag = repository.tagged(&surveyed.tag);
    let by_digest = format!("{repository}@{}", surveyed.digest).parse::<ImageReference>().ok();
    let names_it = |pattern: &&Pattern| [&by_tag, &by_digest].into_iter().flatten().any(|name| pattern.names(name));
    // A tag that is none to us, is one that no entry can name.
    let is_unknown = |pattern: &&Pattern| !pattern.is_by_name() && !pattern.is_by_digest();
    let named = keep.iter().find(names_it).map(|pattern| TagReason::Keep(pattern.to_string()));
    named.or_else(|| keep.iter().find(is_unknown).map(|pattern| TagReason::Unknown(pattern.to_string())))
}

/// Whatever shares something with a tag that stays, stays as well, and then protects in its turn.
fn protect<'a>(tags: &mut [PlannedTag], survey: &'a RepositorySurvey, mut staying: Vec<&'a SurveyedTag>) {
    while let Some(held) = staying.pop() {
        for planned in tags.iter_mut().filter(|planned| planned.keep.is_none()) {
            let Some(reason) = shared(planned, held) else { continue };
            planned.keep = Some(reason);
            staying.extend(survey.tags.iter().find(|surveyed| surveyed.tag == planned.tag));
        }
    }
}

fn shared(planned: &PlannedTag, held: &SurveyedTag) -> Option<TagReason> {
    let describes = |digest: &Digest| planned.tag.starts_with(&digest.referrers_tag());
    if planned.digest == held.digest {
        Some(TagReason::AlsoTagged(held.tag.clone()))
    } else if held.children.contains(&planned.digest) {
        Some(TagReason::PartOf(held.tag.clone()))
    } else if describes(&held.digest) || held.children.iter().any(describes) {
        Some(TagReason::Describes(held.tag.clone()))
    } else {
        None
    }
}

impl fmt::Display for RegistryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Tags of {}", self.repository)?;
        if self.tags.is_empty() {
            return writeln!(f, "  none{}", if self.exists { "" } else { ": there is no such repository" });
        }
        for planned in &self.tags {
            let name = self.name_of(planned);
            match &planned.keep {
                None => writeln!(f, "  remove  {name}  ({})", planned.digest)?,
                Some(reason) => writeln!(f, "  keep    {name}  ({reason})")?,
            }
        }
        Ok(())
    }
}
