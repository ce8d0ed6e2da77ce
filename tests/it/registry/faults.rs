//! A clear of a registry that fails at any of its calls: nothing is reported removed that is still there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use watchparty_cache::execute::clear::registry::RegistryClear;
use watchparty_cache::outcome::clear::{Fate, PlaceOutcome};
use watchparty_cache::plan::clear::registry::RegistryPlan;
use watchparty_cache::registry::{Registry, RegistrySelector};
use watchparty_cache::survey::clear::registry::RepositorySurvey;

use super::clear;
use super::real::{INDEX, MANIFEST, digest_of};
use super::stand_in::{Reply, Seen, StandIn};

/// Tags and their manifests, as long as they are there.
type Tags = Arc<Mutex<BTreeMap<String, String>>>;

const ALL: [(&str, &str); 4] = [("1", "app"), ("1-cache", "one"), ("2-cache", "two"), ("3-cache", "two")];

fn tags() -> Tags {
    Arc::new(Mutex::new(ALL.map(|(tag, of)| (tag.to_owned(), digest_of(of))).into()))
}

/// What a registry with these tags answers.
fn answer(tags: &Tags, seen: &Seen) -> Reply {
    let mut tags = tags.lock().unwrap();
    let reference = seen.line.rsplit('/').next().unwrap();
    if seen.line.contains("/tags/list") {
        return Reply::new(
            200,
            serde_json::json!({"name": "app", "tags": tags.keys().collect::<Vec<_>>()}).to_string(),
        );
    }
    if seen.line.starts_with("DELETE") {
        let before = tags.len();
        tags.retain(|_, digest| digest != reference);
        return Reply::new(if tags.len() < before { 202 } else { 404 }, "");
    }
    match tags.get(reference) {
        Some(digest) => {
            Reply::new(200, "").with("content-type", MANIFEST).with("docker-content-digest", digest.clone())
        }
        None => Reply::new(404, ""),
    }
}

/// A clear of `*-cache`; `None` if the registry could not even be looked at.
async fn cleared(it: &StandIn, cancel: &CancellationToken) -> Option<PlaceOutcome> {
    let selectors: [RegistrySelector; 1] = [format!("{}/app", it.host()).parse().unwrap()];
    let registry = Registry::with_timeout(it.host(), None, Duration::from_secs(5)).unwrap();
    let survey = RepositorySurvey::take(&registry, selectors[0].repository(), &selectors).await.ok()?;
    let plan = RegistryPlan::new(&survey, &selectors, &[]);
    let clear = RegistryClear { registry: &registry, plan: &plan, selectors: &selectors, keep: &[] };
    Some(clear.apply(cancel, &mut |_| ()).await)
}

/// Nothing is said to be gone that is there; what is left is said to be left; the bystander is there.
fn check(case: &str, outcome: Option<&PlaceOutcome>, tags: &Tags) {
    let tags = tags.lock().unwrap();
    assert!(tags.contains_key("1"), "{case}: the bystander is gone");
    let Some(outcome) = outcome else { return assert_eq!(tags.len(), ALL.len(), "{case}") };
    for item in &outcome.items {
        let tag = item.name.rsplit(':').next().unwrap();
        assert!(item.fate != Fate::Removed || !tags.contains_key(tag), "{case}: {tag} is not gone: {outcome:?}");
    }
    assert!(tags.len() == 1 || !outcome.left.is_empty(), "{case}: it is not verified: {outcome:?}");
}

#[test]
fn at_each_call_a_failure_is_told() {
    let faults = || {
        let status = |status| Reply::new(status, "{}");
        vec![status(401), status(403), status(404), status(405), status(409), status(429), status(500), Reply::Cut]
    };
    // What a clear without failures asks for: one list and four heads, and the same again right before the deletions; two tags
    // deleted with one request and one with another, each looked at before and after; one list and one head.
    const CALLS: usize = 21;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut cases = Vec::new();
    for (number, fault) in faults().into_iter().enumerate() {
        for at in 0..CALLS {
            for lasting in [false, true] {
                // Who says that nothing is there, whatever is asked for, is believed.
                if lasting && matches!(fault, Reply::Answer { status: 404, .. }) {
                    continue;
                }
                let fault = fault.clone();
                cases.push(runtime.spawn(async move {
                    let (tags, calls) = (tags(), Arc::new(AtomicUsize::new(0)));
                    let held = Arc::clone(&tags);
                    let it = StandIn::new(move |seen| {
                        let call = calls.fetch_add(1, Ordering::SeqCst);
                        let is_faulty = if lasting { call >= at } else { call == at };
                        if is_faulty { fault.clone() } else { answer(&held, seen) }
                    });
                    let outcome = cleared(&it, &CancellationToken::new()).await;
                    check(&format!("fault {number} at call {at}, lasting {lasting}"), outcome.as_ref(), &tags);
                    usize::from(outcome.is_some_and(|outcome| outcome.left.is_empty()))
                }));
            }
        }
    }
    let verified: usize = runtime.block_on(async {
        let mut verified = 0;
        for case in cases {
            verified += case.await.unwrap();
        }
        verified
    });
    assert!(verified > 30, "failures that pass are overcome: {verified}");
}

#[test]
fn a_deletion_that_does_not_happen_and_a_push_meanwhile_are_seen() {
    let pushed = digest_of("pushed");
    for (case, said) in [("ignored", "the registry has it still"), ("pushed", "it was pushed again meanwhile")] {
        let (tags, pushed) = (tags(), pushed.clone());
        let held = Arc::clone(&tags);
        let it = StandIn::new(move |seen| {
            if !seen.line.starts_with("DELETE") {
                return answer(&held, seen);
            }
            if case == "pushed" {
                held.lock().unwrap().values_mut().filter(|digest| seen.line.ends_with(digest.as_str())).for_each(
                    |digest| {
                        digest.clone_from(&pushed);
                    },
                );
            }
            Reply::new(202, "")
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(cleared(&it, &CancellationToken::new())).unwrap();
        check(case, Some(&outcome), &tags);
        assert_eq!(outcome.items.len(), 3, "{outcome:?}");
        let says = |fate: &Fate| matches!(fate, Fate::Failed { why } if why.contains(said));
        assert!(outcome.items.iter().all(|item| says(&item.fate)), "{case}: {outcome:?}");
    }
}

#[test]
fn what_gets_another_tag_or_an_index_before_its_deletion_stays() {
    let tags = tags();
    let held = Arc::clone(&tags);
    let lists = AtomicUsize::new(0);
    let it = StandIn::new(move |seen| {
        // Somebody names the manifest of `1-cache` after the survey, but for the very tags that are to go.
        if seen.line.contains("/tags/list") && lists.fetch_add(1, Ordering::SeqCst) == 1 {
            held.lock().unwrap().insert("release".to_owned(), digest_of("one"));
        }
        answer(&held, seen)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(cleared(&it, &CancellationToken::new())).unwrap();
    check("another tag", Some(&outcome), &tags);
    let left: Vec<String> = tags.lock().unwrap().keys().cloned().collect();
    assert_eq!(left, ["1", "1-cache", "release"], "{outcome:?}");
    let kept = outcome.items.iter().find(|item| item.name.ends_with(":1-cache")).unwrap();
    assert_eq!(kept.fate, Fate::Kept { why: "also tagged release, meanwhile".to_owned() });
    assert_eq!(outcome.left, [format!("tag {}/app:1-cache stays: also tagged release", it.host())]);
}

#[test]
fn a_repository_that_goes_with_its_last_tag_is_cleared_and_one_that_was_never_there_is_not() {
    let tags: Tags = Arc::new(Mutex::new(BTreeMap::from([("1-cache".to_owned(), digest_of("one"))])));
    let held = Arc::clone(&tags);
    let it = StandIn::new(move |seen| match seen.line.contains("/tags/list") && held.lock().unwrap().is_empty() {
        true => Reply::new(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
        false => answer(&held, seen),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clear = || runtime.block_on(cleared(&it, &CancellationToken::new())).unwrap();
    let first = clear();
    assert!(tags.lock().unwrap().is_empty() && first.left.is_empty(), "{first:?}");
    let again = clear();
    assert!(again.left[0].contains("knows no such repository"), "{again:?}");
}

#[test]
fn an_index_that_is_too_deep_to_be_understood_protects_everything() {
    for (depth, is_read) in [(3, true), (5, false)] {
        let mut texts = vec![format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":[]}}"#)];
        for _ in 0..depth {
            let child = digest_of(texts.last().unwrap());
            texts.push(format!(
                r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{INDEX}","digest":"{child}","size":7}}]}}"#
            ));
        }
        let (bottom, top) = (digest_of(&texts[0]), digest_of(texts.last().unwrap()));
        let manifests: BTreeMap<String, String> = texts.into_iter().map(|text| (digest_of(&text), text)).collect();
        let named = BTreeMap::from([("release", top), ("1-cache", bottom)]);
        let it = StandIn::new(move |seen| {
            let reference = seen.line.rsplit('/').next().unwrap();
            if seen.line.contains("/tags/list") {
                return Reply::new(200, r#"{"name":"app","tags":["1-cache","release"]}"#);
            }
            let digest = named.get(reference).map_or(reference, String::as_str);
            let Some(text) = manifests.get(digest) else { return Reply::new(404, "") };
            let kind = if text.contains("manifests") { INDEX } else { MANIFEST };
            let body = if seen.line.starts_with("HEAD") { "" } else { text };
            Reply::new(200, body).with("content-type", kind).with("docker-content-digest", digest)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(cleared(&it, &CancellationToken::new()));
        let fates: Option<Vec<Fate>> = outcome.map(|it| it.items.into_iter().map(|item| item.fate).collect());
        let kept = vec![Fate::Kept { why: "part of release".to_owned() }];
        assert_eq!(fates, is_read.then_some(kept), "{depth} deep");
        assert!(!it.lines().iter().any(|line| line.starts_with("DELETE")), "{depth} deep");
    }
}

#[test]
fn two_clears_at_once_are_both_verified() {
    let tags = tags();
    let held = Arc::clone(&tags);
    let it = StandIn::new(move |seen| answer(&held, seen));
    let cancel = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (one, two) = runtime.block_on(async { tokio::join!(cleared(&it, &cancel), cleared(&it, &cancel)) });
    for outcome in [one.unwrap(), two.unwrap()] {
        check("two at once", Some(&outcome), &tags);
        assert_eq!(outcome.left, [""; 0]);
        assert!(outcome.items.iter().all(|item| item.fate == Fate::Removed), "{outcome:?}");
    }
}

#[test]
fn a_signal_ends_a_clear_that_waits_and_what_was_done_is_told() {
    let tags = tags();
    let held = Arc::clone(&tags);
    let deletions = AtomicUsize::new(0);
    let it = StandIn::new(move |seen| {
        // The second deletion never ends.
        let is_second = seen.line.starts_with("DELETE") && deletions.fetch_add(1, Ordering::SeqCst) == 1;
        if is_second { Reply::Silence } else { answer(&held, seen) }
    });
    let images = format!("registry={}/app", it.host());
    let step = clear(&std::env::temp_dir()).input("images", &images);
    let child = step.start();
    let is_waiting = || it.lines().iter().filter(|line| line.starts_with("DELETE")).count() == 2;
    let begun = std::time::Instant::now();
    while !is_waiting() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", it.lines());
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let run = step.finish(&child.wait_with_output().unwrap()).expect_code(143);
    assert!(run.stdout.contains("cancelled before it was done"), "{}", run.stdout);
    let left = tags.lock().unwrap().len();
    assert_eq!(run.stdout.matches("\nremoved ").count(), ALL.len() - left, "{}", run.stdout);
    assert!(left > 1 && left < ALL.len(), "one of two deletions was done");
}
