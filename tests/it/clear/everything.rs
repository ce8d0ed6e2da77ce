//! Every place in one run: each is seeded, each is cleared and proven, and what is beside it stays as it was, by its digest.

use std::collections::BTreeSet;

use super::{Cleared, exists};
use crate::support::github::{FakeGithub, TOKEN};
use crate::support::{Action, Builder, Engine, Images, Registry, docker, on_every_engine, unique};

const SCOPE: &str = "images, builder, builders, registry, packages, actions-cache";
const MAIN: &str = "refs/heads/main";

/// What must stay, as it is.
#[derive(Debug, PartialEq)]
struct Bystanders {
    image: String,
    volume: String,
    builder: usize,
    tags: [Option<String>; 2],
    packages: BTreeSet<String>,
    caches: BTreeSet<u64>,
}

on_every_engine!(all_places_are_cleared_at_once_and_nothing_beside_them, |engine| {
    let _images = Images::since_now(engine);
    let it = Cleared::new();
    let (kept, volume) = (unique("bystander"), unique("data") + "_state");
    docker(engine, &["tag", "busybox:1.36", &kept]);
    docker(engine, &["volume", "create", &volume]);
    let (builder, theirs) = (Builder::start(engine), Builder::start(engine));
    builder.build();
    theirs.build();
    let left_over = format!("buildx_buildkit_{}0_state", unique("old"));
    docker(engine, &["volume", "create", &left_over]);
    let (registry, fake) = (Registry::beside(engine), github());
    let step = || {
        let login = format!("{} user secret\n{} octo {TOKEN}", registry.host(), fake.registry());
        let step = Action::new(engine, it.project.path()).input("tags", &it.tag).input("registry-auth", &login);
        step.input("github-token", TOKEN).variable("GITHUB_API_URL", fake.url()).input("report", "summary")
    };
    let build = |name: &str| {
        let place = format!("{}/org/app:{name}", registry.host());
        step().input("cache-to", &place).run().expect_code(0)
    };
    build("main");
    build("other");
    let digest = |tag: &str| registry.digest("org/app", tag);
    assert!(digest("main-cache").is_some() && digest("other-cache").is_some());
    // Tags with one manifest are one: the other's is another build's.
    it.project.write("marker", unique("another"));
    build("other");
    assert_ne!(digest("main-cache"), digest("other-cache"));
    let bystanders = || Bystanders {
        image: docker(engine, &["image", "inspect", "--format", "{{.Id}}", &kept]),
        volume: docker(engine, &["volume", "inspect", "--format", "{{.CreatedAt}}", &volume]),
        builder: theirs.records(),
        tags: [digest("other-cache"), digest("other")],
        packages: fake.state(|state| {
            state.storage.digests("org/app").into_iter().chain(state.storage.digests("org/bystander")).collect()
        }),
        caches: fake.state(|state| state.storage.caches.iter().map(|cache| cache.id).collect()),
    };
    let (named, gone_cache) = fake.state(|state| {
        let named = state.storage.image("org/app", &["pr-1"], 1);
        (named, state.storage.cache("buildkit-1", MAIN, 5))
    });
    let mut expected = bystanders();
    assert!(expected.packages.remove(&named) && expected.caches.remove(&gone_cache));
    let clear = || {
        let images = format!(
            "{}\nregistry={}/org/app:main-*cache\nregistry={}/org/app:main-cache\npackage={}/org/app:pr-*\n\
             actions-cache=buildkit-*;ref=main",
            it.tag,
            registry.host(),
            registry.host(),
            fake.registry()
        );
        let keep = format!("{kept}\n{}", theirs.name);
        step().input("mode", "clear").input("scope", SCOPE).input("images", &images).input("keep", &keep)
    };
    assert!(builder.records() >= 2);

    let dry = clear().input("dry-run", "true").run().expect_code(0);
    let items = [it.tag.clone(), builder.name.clone(), left_over.clone(), "main-cache".to_owned(), "pr-1".to_owned()];
    for item in items.iter().chain([&"buildkit-1".to_owned()]) {
        assert!(dry.summary.contains(item.as_str()), "{item}: {}", dry.summary);
    }
    assert!(exists(engine, &it.tag) && digest("main-cache").is_some() && builder.records() >= 2);

    let cleared = clear().run().expect_code(0);
    assert_eq!(cleared.output("verified"), "true", "{}", cleared.stdout);
    assert!(!exists(engine, &it.tag) && digest("main-cache").is_none(), "{}", cleared.stdout);
    assert_eq!(builder.records(), 0);
    assert!(!has_volume(engine, &left_over));
    assert_eq!(bystanders(), expected, "{}", cleared.stdout);
    let again = clear().run().expect_code(0);
    assert_eq!((again.output("verified"), again.output("freed-bytes")), ("true", "0"), "{}", again.stdout);
    assert_eq!(bystanders(), expected);
    let fresh = Action::new(engine, it.project.path()).input("tags", &it.tag).run().expect_code(0);
    assert_eq!(fresh.cached(), (0, 3));
    docker(engine, &["volume", "rm", &volume]);
    it.clear(engine).run().expect_code(0);
});

fn has_volume(engine: &Engine, name: &str) -> bool {
    docker(engine, &["volume", "ls", "-q"]).lines().any(|line| line == name)
}

fn github() -> FakeGithub {
    let fake = FakeGithub::start();
    fake.permit(&["packages: write", "actions: write", "contents: read"]);
    fake.state(|state| {
        let it = &mut state.storage;
        it.package("org/app");
        it.package("org/bystander");
        it.image("org/bystander", &["pr-1"], 1);
        let platform = it.image("org/app", &[], 7);
        it.index("org/app", &["main"], &[&platform]);
        it.cache("deps", MAIN, 1);
        it.cache("buildkit-1", "refs/pull/5/merge", 1);
    });
    fake
}
