//! `scope: registry` of a clear against a real registry.

use std::path::Path;

use super::clear;
use super::real::{RealRegistry, Setup};

/// What the registry was asked for, but for reading.
fn writes(registry: &RealRegistry) -> Vec<String> {
    let reads = |line: &String| line.starts_with("GET ") || line.starts_with("HEAD ");
    registry.seen().into_iter().filter(|line| !reads(line)).collect()
}

#[test]
fn cache_tags_go_and_everything_else_stays_by_its_digest() {
    let it = RealRegistry::start(Setup::Strict);
    let cache = it.image("org/app", "cache", Some("1-cache"));
    it.image("org/app", "old", Some("pr-7-cache"));
    let bystanders: Vec<(&str, &str, String)> = [
        ("org/app", "1", it.image("org/app", "app", Some("1"))),
        ("org/app", "stable-cache", it.image("org/app", "stable", Some("stable-cache"))),
        ("org/app", "cached", it.image("org/app", "cached", Some("cached"))),
        // The same content in another repository is another manifest to the registry.
        ("org/other", "1-cache", it.image("org/other", "cache", Some("1-cache"))),
    ]
    .into();
    let untouched = || {
        for (repository, tag, digest) in &bystanders {
            assert_eq!(it.digest(repository, tag).as_ref(), Some(digest), "{repository}:{tag}");
        }
    };
    let app = format!("{}/org/app", it.host());
    let step = || {
        let keep = format!("{app}:stable-*");
        it.known_to(clear(&std::env::temp_dir())).input("images", &format!("registry={app}")).input("keep", &keep)
    };

    let dry = step().input("dry-run", "true").run().expect_code(0);
    assert!(dry.stdout.contains(&format!("would remove {app}:1-cache")), "{}", dry.stdout);
    assert!(dry.summary.contains(&format!("{app}:pr-7-cache")), "{}", dry.summary);
    assert_eq!(it.digest("org/app", "1-cache"), Some(cache.clone()));
    assert!(!it.seen().is_empty() && writes(&it).is_empty(), "a dry run wrote: {:?}", it.seen());

    let cleared = step().run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true", "{}", cleared.summary);
    for tag in ["1-cache", "pr-7-cache"] {
        assert_eq!(it.digest("org/app", tag), None);
        assert!(cleared.stdout.contains(&format!("removed {app}:{tag}")), "{}", cleared.stdout);
    }
    assert_eq!(it.digest("org/app", &cache), None, "the manifest itself");
    assert!(cleared.stdout.contains(&format!("kept {app}:stable-cache: keep: {app}:stable-*")), "{}", cleared.stdout);
    assert_eq!(writes(&it).len(), 2, "{:?}", writes(&it));
    untouched();
    let said = [&cleared.stdout, &cleared.stderr, &cleared.summary].map(String::as_str).concat();
    // The mask of the password is told to the runner, and nobody else.
    assert!(!said.replace("::add-mask::secret", "").contains("secret"), "{said}");

    let again = step().run().expect_code(0);
    assert_eq!(again.output("verified"), "true");
    assert_eq!(writes(&it).len(), 2, "there was nothing more to do");
    untouched();
}

#[test]
fn what_a_tag_that_stays_needs_is_not_deleted_and_not_verified() {
    let it = RealRegistry::start(Setup::Strict);
    let shared = it.image("app", "shared", Some("1"));
    it.image("app", "shared", Some("1-cache"));
    let child = it.image("app", "child", Some("2-cache"));
    let index = it.index("app", &[&child], "2");
    it.image("app", "alone", Some("3-cache"));
    // An index goes, and its child stays under its own name.
    let free = it.image("app", "free", Some("4"));
    it.index("app", &[&free], "4-cache");

    let app = format!("{}/app", it.host());
    let run =
        it.known_to(clear(&std::env::temp_dir())).input("images", &format!("registry={app}")).run().expect_code(4);
    assert_eq!(run.output("verified"), "false");
    for kept in [format!("kept {app}:1-cache: also tagged 1"), format!("kept {app}:2-cache: part of 2")] {
        assert!(run.stdout.contains(&kept), "{kept}: {}", run.stdout);
    }
    assert!(run.stdout.contains(&format!("not cleared: tag {app}:1-cache stays: also tagged 1")), "{}", run.stdout);
    let digest = |tag: &str| it.digest("app", tag);
    assert_eq!((digest("1"), digest("1-cache")), (Some(shared.clone()), Some(shared)));
    assert_eq!((digest("2"), digest("2-cache")), (Some(index), Some(child)));
    assert_eq!((digest("3-cache"), digest("4-cache"), digest("4")), (None, None, Some(free)));
}

#[test]
fn a_registry_that_does_not_delete_is_named_with_what_to_do() {
    let it = RealRegistry::start(Setup::WithoutDeletion);
    let digest = it.image("app", "cache", Some("1-cache"));
    it.image("app", "another", Some("2-cache"));
    let images = format!("registry={}/app", it.host());
    let run = it.known_to(clear(&std::env::temp_dir())).input("images", &images).run().expect_code(4);
    assert_eq!((it.digest("app", "1-cache"), run.output("verified")), (Some(digest), "false"));
    assert!(run.summary.contains("does not delete what it holds"), "{}", run.summary);
    assert!(run.summary.contains("delete: enabled: true"), "{}", run.summary);
    assert!(!run.stdout.contains("\nremoved "), "{}", run.stdout);
    assert_eq!(writes(&it).len(), 1, "the second deletion would end in the same way: {:?}", writes(&it));
}

#[test]
fn whoever_cannot_be_asked_is_named_and_the_others_are_cleared() {
    let (it, foreign) = (RealRegistry::start(Setup::Strict), RealRegistry::start(Setup::Strict));
    let digest = it.image("app", "cache", Some("1-cache"));
    let images = format!("registry={}/app", it.host());
    let there = || assert_eq!(it.digest("app", "1-cache").as_ref(), Some(&digest));

    let auth = format!("{} user wrong", it.host());
    let wrong = it.known_to(clear(&std::env::temp_dir())).input("images", &images).input("registry-auth", &auth);
    let wrong = wrong.run().expect_code(4);
    assert!(wrong.stdout.contains("it does not accept the login"), "{}", wrong.stdout);
    let none = it.known_to(clear(&std::env::temp_dir())).input("images", &images).input("registry-auth", "");
    let none = none.run().expect_code(4);
    assert!(none.stdout.contains("it asks for a login") && none.stdout.contains("registry-auth"), "{}", none.stdout);
    there();

    let stranger = it.known_to(clear(&std::env::temp_dir())).input("images", &images);
    let stranger = stranger.variable("SSL_CERT_FILE", &foreign.authority().display().to_string()).run().expect_code(4);
    assert!(stranger.stdout.contains("trust the certificate of 127.0.0.1"), "{}", stranger.stdout);
    assert!(stranger.stdout.contains("SSL_CERT_FILE"), "{}", stranger.stdout);
    there();

    // Nobody listens at the port 1; the other repositories are looked at all the same.
    let images = format!("registry=127.0.0.1:1/app, {images}, registry={}/unknown", it.host());
    let some = it.known_to(clear(&std::env::temp_dir())).input("images", &images).run().expect_code(4);
    assert!(some.stdout.contains("not cleared: 127.0.0.1:1/app: reach 127.0.0.1"), "{}", some.stdout);
    assert_eq!((it.digest("app", "1-cache"), some.output("verified")), (None, "false"));

    // A name that is misspelt is not proven to be cleared.
    let unknown = format!("registry={}/unknown", it.host());
    for dry_run in ["true", "false"] {
        let step = it.known_to(clear(&std::env::temp_dir())).input("images", &unknown).input("dry-run", dry_run);
        let run = step.run().expect_code(4);
        assert!(run.output("verified") != "true", "{:?}", run.outputs);
        let said = format!("{}/unknown: the registry knows no such repository", it.host());
        assert!(run.stdout.contains(&said), "{}", run.stdout);
    }
}

#[test]
fn on_this_machine_a_registry_needs_no_encryption_and_the_projects_cache_tags_are_meant() {
    let it = RealRegistry::start(Setup::Plain);
    let app = format!("{}/app", it.host());
    it.image("app", "cache", Some("7-cache"));
    let other = it.image("app", "other", Some("8-cache"));
    let step = || clear(Path::new("/")).input("tags", &format!("{app}:7"));
    let run = step().run().expect_code(0);
    assert_eq!((run.output("verified"), it.digest("app", "7-cache")), ("true", None));
    assert_eq!(it.digest("app", "8-cache"), Some(other));

    let nothing = clear(Path::new("/")).input("tags", "app").run().expect_code(2);
    assert!(nothing.stdout.contains("neither `images` nor `cache-to` nor a tag"), "{}", nothing.stdout);
}

#[test]
fn hundreds_of_tags_are_all_seen() {
    let it = RealRegistry::start(Setup::Plain);
    let shared = it.image("app", "shared", Some("zzz"));
    for number in 0..120 {
        it.image("app", &format!("{}", number % 60), Some(&format!("{number}-cache")));
    }
    // One of the last shares its manifest with one that stays.
    it.image("app", "shared", Some("zz-cache"));
    let images = format!("registry={}/app", it.host());
    let run = clear(Path::new("/")).input("images", &images).run().expect_code(4);
    assert_eq!(run.stdout.matches("\nremoved ").count(), 120, "{}", run.stdout);
    assert_eq!(writes(&it).len(), 60, "tags of one manifest go with one deletion");
    assert_eq!((it.digest("app", "0-cache"), it.digest("app", "zzz")), (None, Some(shared)));
}
