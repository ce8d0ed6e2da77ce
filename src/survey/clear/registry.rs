//! The tags of a repository and what they name, as far as a clear of some of them has to know it.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::registry::{Digest, MediaType, Registry, RegistryError, RegistrySelector, Repository};

/// So many tags are asked for at the same time.
const AT_ONCE: usize = 8;
/// An index of indexes of indexes: nobody makes deeper ones, and of what is in one nobody could tell that it may go.
const DEEPEST: usize = 4;

/// What a repository holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositorySurvey {
    /// The repository.
    pub repository: Repository,
    /// Whether the registry knows it.
    pub exists: bool,
    /// Its tags; none if no selector names any, because then nothing has to be known of the others.
    pub tags: Vec<SurveyedTag>,
}

/// A tag and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedTag {
    /// The tag.
    pub tag: String,
    /// The manifest that it names.
    pub digest: Digest,
    /// Manifests that this one names, and those that they name.
    pub children: BTreeSet<Digest>,
}

impl RepositorySurvey {
    /// Asks the registry: for every tag, as soon as a selector names one, since those that stay protect what they share.
    ///
    /// # Errors
    /// [`RegistryError`], of whichever tag: what cannot be looked at might be what must stay.
    pub async fn take(
        registry: &Registry,
        repository: &Repository,
        selectors: &[RegistrySelector],
    ) -> Result<Self, RegistryError> {
        let survey = |exists, tags| Self { repository: repository.clone(), exists, tags };
        let tags = match registry.tags(repository).await {
            Ok(tags) => tags,
            Err(error) if error.is_not_found() => return Ok(survey(false, Vec::new())),
            Err(error) => return Err(error),
        };
        let is_named =
            |tag: &String| selectors.iter().any(|selector| selector.repository() == repository && selector.names(tag));
        if !tags.iter().any(is_named) {
            return Ok(survey(true, Vec::new()));
        }
        let asked = stream::iter(tags).map(|tag| look_at(registry, repository, tag)).buffered(AT_ONCE);
        // A tag that went meanwhile is none.
        let tags = asked.try_filter_map(|tag| std::future::ready(Ok(tag))).try_collect().await?;
        Ok(survey(true, tags))
    }
}

async fn look_at(
    registry: &Registry,
    repository: &Repository,
    tag: String,
) -> Result<Option<SurveyedTag>, RegistryError> {
    let Some(head) = registry.head(repository, &tag).await? else { return Ok(None) };
    let mut children = BTreeSet::new();
    // One of a kind that we do not know may name others.
    let mut indexes = if head.media_type.is_none_or(MediaType::is_index) { vec![head.digest.clone()] } else { vec![] };
    for _ in 0..DEEPEST {
        let mut next = Vec::new();
        for index in indexes {
            let Some(manifest) = registry.manifest(repository, &index.to_string()).await? else { continue };
            next.extend(manifest.children.into_iter().filter(|child| children.insert(child.clone())));
        }
        indexes = next;
    }
    if !indexes.is_empty() {
        let what = format!("an index of indexes at {tag} that goes down more than {DEEPEST} times");
        return Err(RegistryError::Malformed { registry: repository.host().to_owned(), what });
    }
    Ok(Some(SurveyedTag { tag, digest: head.digest, children }))
}
