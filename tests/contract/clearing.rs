//! What the workflow for a closed pull request names is what `cache-to` writes for it, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use saphyr::{LoadableYamlNode, Yaml};
use watchparty_cache::cache::ledger::{Access, Scope};
use watchparty_cache::inputs::{ClearInputs, Inputs, RawInputs, RemoteSelector, parse};
use watchparty_cache::plan::build::cache_to::CachePlace;
use watchparty_cache::plan::clear::packages::{Manifest, Package, PackageRequest, PackageSurvey, Version, plan};
use watchparty_cache::registry::cache_tag::layers_tag;
use watchparty_cache::runner::{Context, Environment};

use crate::workflows::workflows;

const PACKAGE: &str = "ghcr.io/org/app";

/// The inputs of that workflow when pull request 12 is closed.
static INPUTS: LazyLock<ClearInputs> = LazyLock::new(|| {
    let blocks = workflows("docs/clearing.md");
    let block = blocks.iter().find(|block| block.contains("types: [closed]")).unwrap();
    let block = block.replace("${{ github.event.number }}", "12");
    let document = Yaml::load_from_str(&block).unwrap().remove(0);
    let step = &document["jobs"]["clear"]["steps"][0];
    assert_eq!(step["uses"].as_str(), Some("org/watchparty-cache@v1"));
    let given = step["with"].as_mapping().unwrap().iter().map(|(name, value)| {
        let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
        assert!(!value.contains("${{"), "an expression that is not known here: {value}");
        (format!("INPUT_{}", name.to_uppercase()), value.to_owned())
    });
    let environment: Environment = given.collect();
    let (context, _) = Context::read(&environment, Path::new("/"));
    match parse(&RawInputs::new(&environment, &context, Vec::new())) {
        Ok((Inputs::Clear(inputs), warnings)) if warnings.is_empty() => *inputs,
        other => panic!("{other:?}"),
    }
});

/// Who writes a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Push,
    PullRequest(u64),
    /// Another event that is about this pull request.
    Target(u64),
}

impl Writer {
    /// The tags that it writes for `cache-to: ghcr.io/org/app:<tag>`: the cache's, and that of its layers on their way there.
    fn tags(self, tag: &str, service: Option<&str>) -> Vec<String> {
        let untrusted = |reference| Scope::Untrusted { repository: Some("org/app".to_owned()), reference };
        let own = match self {
            Self::Push => Scope::Trusted { repository: "org/app".to_owned(), reference: "refs/heads/main".to_owned() },
            Self::PullRequest(number) => untrusted(format!("pull/{number}")),
            Self::Target(number) => untrusted(format!("pull_request_target/pull/{number}")),
        };
        let access = Access { reads: vec![own.clone()], own, default_branch: None };
        let place = CachePlace::new(&format!("{PACKAGE}:{tag}").parse().unwrap(), service, &access);
        let written = place.and_then(|place| Some(place.write?.tag()?.to_owned()));
        written.into_iter().flat_map(|tag| [layers_tag(&tag), tag]).collect()
    }
}

/// The tags that go when pull request 12 is closed, if each names an image of its own.
fn going(tags: &BTreeSet<String>) -> BTreeSet<String> {
    let versions: Vec<Version> = (1..)
        .zip(tags)
        .map(|(id, tag)| Version {
            id,
            digest: format!("sha256:{id:064x}"),
            tags: BTreeSet::from([tag.clone()]),
            updated: DateTime::UNIX_EPOCH,
        })
        .collect();
    let manifest = Manifest { children: Vec::new(), subject: None, blobs: Vec::new() };
    let manifests = versions.iter().map(|version| (version.digest.clone(), Ok(manifest.clone()))).collect();
    let package = Package { registry: None, owner: "org".to_owned(), name: "app".to_owned() };
    let inputs = &*INPUTS;
    assert!(inputs.scope.packages && inputs.keep.is_empty());
    let selectors = inputs.remote.iter().filter_map(|selector| match selector {
        RemoteSelector::Package(selector) => Some(selector),
        RemoteSelector::Registry(_) | RemoteSelector::ActionsCache(_) => None,
    });
    let selectors: Vec<_> = selectors.collect();
    assert!(selectors.iter().all(|selector| *selector.package() == package));
    let request = PackageRequest { selectors: &selectors, keep: &inputs.keep, now: Utc::now() };
    let survey = PackageSurvey { package, registry: "ghcr.io".to_owned(), versions, manifests };
    let plan = plan(&request, &survey);
    plan.going().flat_map(|planned| planned.version.tags.clone()).collect()
}

/// Names out of the words that have a meaning here, and others.
fn name() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &["a", "pr", "1", "12", "120", "112", "layers", "untrusted", "cache", "_", "pr-12", "Main"];
    let words = proptest::collection::vec(proptest::sample::select(WORDS), 1..6);
    let joined = (words, "[-._]").prop_map(|(words, between)| words.join(&between));
    prop_oneof![3 => joined, 1 => "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}"]
}

proptest! {
    #[test]
    fn what_a_closed_pull_request_takes_along_is_what_it_wrote(names in proptest::collection::vec((name(), name()), 1..6)) {
        let numbers = [1, 2, 12, 112, 120];
        let writers = [Writer::Push].into_iter().chain(numbers.map(Writer::PullRequest)).chain(numbers.map(Writer::Target));
        // GitHub removes all but the last one with a tag; this one is nobody's cache.
        let mut all: BTreeMap<String, Writer> = BTreeMap::from([("main".to_owned(), Writer::Push)]);
        // The images that builds push, with a tag for each pull request.
        all.extend(numbers.map(|number| (format!("pr-{number}"), Writer::PullRequest(number))));
        for writer in writers {
            for (tag, service) in &names {
                for service in [None, Some(service.as_str())] {
                    for tag in writer.tags(tag, service) {
                        let first = *all.entry(tag.clone()).or_insert(writer);
                        prop_assert_eq!(first, writer, "both write {}", tag);
                    }
                }
            }
        }
        let tags = all.keys().cloned().collect();
        let its_own = all.iter().filter(|(_, writer)| **writer == Writer::PullRequest(12));
        prop_assert_eq!(going(&tags), its_own.map(|(tag, _)| tag.clone()).collect::<BTreeSet<_>>());
    }
}

#[test]
fn of_a_closed_pull_request_every_place_has_its_own() {
    let mut written: Vec<String> = ["main", "pr-12", "pr-1", "pr-120"].map(str::to_owned).into();
    for service in [None, Some("backend"), Some("pr-12"), Some("pr-12-x")] {
        for writer in [Writer::Push, Writer::PullRequest(12), Writer::PullRequest(120)] {
            written.extend(writer.tags("main", service));
        }
    }
    let going = going(&written.into_iter().collect());
    let expected = [
        "main-backend-pr-12-cache",
        "main-backend-pr-12-layers-cache",
        "main-pr-12-cache",
        "main-pr-12-layers-cache",
        "main-pr-12-pr-12-cache",
        "main-pr-12-pr-12-layers-cache",
        "main-pr-12-x-pr-12-cache",
        "main-pr-12-x-pr-12-layers-cache",
        "pr-12",
    ];
    assert_eq!(going.iter().collect::<Vec<_>>(), expected);
}
