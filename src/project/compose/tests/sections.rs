//! What the recorded cases cannot say: our own additions, newer keys, and how values are typed.

use std::path::PathBuf;

use proptest::prelude::*;

use super::{Case, build, names};
use crate::project::target::{
    BuildSecret, CacheOption, CacheSource, Context, Dockerfile, NamedContext, NoCache, SecretSource, SshSource, Target,
};
use crate::secret::Secret;

#[test]
fn reads_contexts_and_dockerfiles() {
    for (section, context, dockerfile) in [
        ("./app", "app", "app/Dockerfile"),
        ("{context: app, dockerfile: ../D}", "app", "D"),
        ("{context: app, dockerfile: /abs/D}", "app", "/abs/D"),
        ("{dockerfile: D}", "", "D"),
        ("/srv/app", "/srv/app", "/srv/app/Dockerfile"),
    ] {
        let case = build(section);
        let target = case.target("web");
        let path = |text: &str| if text.is_empty() { case.directory.path().to_owned() } else { case.path(text) };
        assert_eq!(target.context, Context::Local(path(context)), "{section}");
        assert_eq!(target.dockerfile, Dockerfile::File(path(dockerfile)), "{section}");
    }
    let remote = build("'git@github.com:org/app.git#main:sub'").target("web");
    assert_eq!(remote.context, Context::Remote("git@github.com:org/app.git#main:sub".to_owned()));
    assert_eq!(remote.dockerfile, Dockerfile::InContext("Dockerfile".to_owned()));
    let inline = build("{dockerfile_inline: FROM scratch}").target("web");
    assert_eq!(inline.dockerfile, Dockerfile::Inline("FROM scratch".to_owned()));
}

#[test]
fn reads_named_contexts() {
    let case = Case::new(
        "services:\n  base: {build: ./base}\n  web: {build: {additional_contexts: {dir: ./a, image: 'docker-image://alpine', \
         url: 'https://x/y.git', other: 'service:base'}}}\n",
    );
    let target = case.target("web");
    let contexts: Vec<_> = target.named_contexts.into_iter().collect();
    assert_eq!(
        contexts,
        [
            ("dir".to_owned(), NamedContext::Local(case.path("a"))),
            ("image".to_owned(), NamedContext::Remote("docker-image://alpine".to_owned())),
            ("other".to_owned(), NamedContext::Target("base".to_owned())),
            ("url".to_owned(), NamedContext::Remote("https://x/y.git".to_owned())),
        ]
    );
    assert_eq!(target.after, ["base"]);
}

#[test]
fn reads_which_steps_are_not_cached() {
    for (section, expected) in [
        ("{}", NoCache::Off),
        ("{no_cache: true}", NoCache::All),
        ("{no_cache: 'yes'}", NoCache::All),
        ("{no_cache: ON}", NoCache::All),
        ("{no_cache: false, no_cache_filter: test}", NoCache::Stages(vec!["test".to_owned()])),
        ("{no_cache_filter: [a, b]}", NoCache::Stages(vec!["a".to_owned(), "b".to_owned()])),
        ("{no_cache: true, no_cache_filter: [a]}", NoCache::All),
    ] {
        assert_eq!(build(section).target("web").no_cache, expected, "{section}");
    }
}

#[test]
fn reads_cache_sources() {
    let target = build("{cache_from: [app, 'type=gha,scope=x', app, ''], cache_to: [ghcr.io/a/b:cache]}").target("web");
    let gha = CacheOption {
        kind: "gha".to_owned(),
        attributes: [("scope".to_owned(), "x".to_owned())].into_iter().collect(),
    };
    assert_eq!(target.cache_from, [CacheSource::Image("app:latest".parse().unwrap()), CacheSource::BuildKit(gha)]);
    assert_eq!(target.cache_to[0].kind, "registry");
    assert_eq!(target.cache_to[0].attributes["ref"], "ghcr.io/a/b:cache");
}

#[test]
fn reads_secrets() {
    let case = Case::new(
        "services: {web: {build: {secrets: [env, {source: file, target: renamed}, {source: gone, uid: '1'}]}}}\n\
         secrets: {env: {environment: TOKEN}, file: {file: ./s.txt}, gone: {environment: GONE}, unused: {external: true}}\n",
    )
    .variable("TOKEN", "value");
    let secret = |id: &str, source| BuildSecret { id: id.to_owned(), source };
    assert_eq!(
        case.target("web").secrets,
        [
            secret("env", SecretSource::Value(Secret::new("value"))),
            secret("renamed", SecretSource::File(case.path("s.txt"))),
            secret("gone", SecretSource::Value(Secret::new(""))),
        ]
    );
    assert_eq!(
        case.warnings(),
        [
            "compose.yaml:1:74: services.web.build.secrets[2]: 'uid', 'gid' and 'mode' have no effect on a build: set them \
             at RUN --mount=type=secret",
            "secret 'gone' is empty: the variable GONE is not set",
        ]
    );
}

#[test]
fn reads_ssh_agents_and_keys() {
    let case = build("{ssh: [default, 'deploy=keys/a,/keys/b']}").variable("SSH_AUTH_SOCK", "/run/agent");
    let source = |id: &str, paths: Vec<PathBuf>| SshSource { id: id.to_owned(), paths };
    assert_eq!(
        case.target("web").ssh,
        [
            source("default", vec![PathBuf::from("/run/agent")]),
            source("deploy", vec![case.path("keys/a"), PathBuf::from("/keys/b")]),
        ]
    );
}

#[test]
fn reads_limits_and_hosts() {
    let target = build(
        "{shm_size: 1g, network: none, ulimits: {nofile: -1, nproc: {soft: '1', hard: 2}}, \
         extra_hosts: ['a:1.2.3.4', 'b=[::1],::2', gw:host-gateway], privileged: true, entitlements: [device]}",
    )
    .target("web");
    assert_eq!(target.shm_size, Some(1 << 30));
    assert_eq!(target.network.as_deref(), Some("none"));
    assert_eq!(target.ulimits, ["nofile=-1", "nproc=1:2"]);
    assert_eq!(target.entitlements, ["device", "security.insecure"]);
    let hosts: Vec<_> = target.extra_hosts.iter().map(|(host, address)| format!("{host}={address}")).collect();
    assert_eq!(hosts, ["a=1.2.3.4", "b=::1", "b=::2", "gw=host-gateway"]);
}

#[test]
fn reads_attestations() {
    for (section, provenance, sbom) in [
        ("{}", None, None),
        ("{provenance: false, sbom: true}", Some("false"), Some("true")),
        ("{provenance: 'mode=max', sbom: 'generator=x'}", Some("mode=max"), Some("generator=x")),
    ] {
        let target = build(section).target("web");
        assert_eq!((target.provenance.as_deref(), target.sbom.as_deref()), (provenance, sbom), "{section}");
    }
}

#[test]
fn names_images_and_keeps_the_order_of_files() {
    let project = Case::new("services: {b: {build: ., image: 'x:1'}, a: {build: {tags: ['x:1', y]}}, c: {image: z}}\n")
        .and_file("more.yaml", "services: {d: {build: .}, a: {build: {tags: [w]}}}\n")
        .project();
    assert_eq!(names(&project), ["b", "a", "d"]);
    let images: Vec<_> = project.images.iter().map(ToString::to_string).collect();
    assert_eq!(images, ["x:1", "demo-a:latest", "y:latest", "w:latest", "demo-d:latest"]);
    assert_eq!(project.name, "demo");
}

#[test]
fn builds_what_a_context_comes_from() {
    let text = "services:\n  web: {build: {additional_contexts: {b: 'service:base'}}}\n  base: {build: b, profiles: [p]}\n  \
                other: {build: o}\n";
    assert_eq!(names(&Case::new(text).project()), ["web", "base", "other"]);
    assert_eq!(names(&Case::new(text).service("web").project()), ["web", "base"]);
}

#[test]
fn says_when_there_is_nothing_to_build() {
    let case = Case::new("services: {web: {build: .}, db: {image: x}}\n").service("db");
    assert_eq!(names(&case.project()), Vec::<&str>::new());
    assert_eq!(case.warnings(), ["service 'db' has no build section: there is nothing to build"]);
}

#[test]
fn warns_without_showing_values() {
    let case = build("{args: {VERSION: 1.10, A: $GONE, B: '${GONE:-x}'}}");
    assert_eq!(
        case.warnings(),
        [
            "the variable GONE is not set: a blank string is used",
            "compose.yaml:1:42: services.web.build.args.VERSION: the number is not passed on as it is written here: put it \
             in quotes to keep it",
        ]
    );
}

/// Compose 2.40 refuses this, later versions merge; the including file wins.
#[test]
fn merges_what_is_included_and_defined() {
    let case = Case::new("include: [sub/c.yaml]\nservices: {lib: {build: {args: {A: own}}}}\n")
        .with("sub/c.yaml", "services: {lib: {build: {context: ./lib, args: {A: theirs, B: theirs}}}}\n");
    let target = case.target("lib");
    assert_eq!(target.context, Context::Local(case.path("sub/lib")));
    assert_eq!(
        target.build_args.into_iter().collect::<Vec<_>>(),
        [("A".to_owned(), "own".to_owned()), ("B".to_owned(), "theirs".to_owned())]
    );
}

#[test]
fn ignores_extensions_and_what_only_runs() {
    let case = Case::new(
        "x-a: {x: [1]}\nversion: '3'\nnetworks: {n: }\nservices:\n  web:\n    x-b: 1\n    deploy: {x: 1}\n    develop: {y: 2}\n    \
         depends_on: [gone]\n    ports: '80'\n    build: {x-c: 1, context: .}\n",
    );
    assert_eq!(case.target("web").after, Vec::<String>::new());
    assert_eq!(case.warnings(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Files that say nothing change nothing, wherever they stand.
    #[test]
    fn merging_an_empty_file_is_identity(
        arguments in proptest::collection::btree_map("[A-Z]{1,4}", "[a-z0-9 ]{0,6}", 0..4),
        tags in proptest::collection::vec("[a-z]{1,5}", 0..3),
        empty in proptest::sample::select(vec!["", "# nothing\n", "{}\n", "services: {}\n", "services: {web: {build: {}}}\n"]),
    ) {
        let arguments: Vec<_> = arguments.iter().map(|(name, value)| format!("{name}: '{value}'")).collect();
        let text = format!(
            "services: {{web: {{build: {{context: ., args: {{{}}}, tags: [{}]}}}}}}\n",
            arguments.join(", "),
            tags.iter().map(|tag| format!("'{tag}'")).collect::<Vec<_>>().join(", "),
        );
        let alone = Case::new(&text);
        let expected = alone.target("web");
        let mut after = Case::new(&text).and_file("empty.yaml", empty);
        let mut found = after.target("web");
        (found.context, found.dockerfile) = (expected.context.clone(), expected.dockerfile.clone());
        prop_assert_eq!(&found, &expected);
        after.files.reverse();
        let mut found = after.target("web");
        (found.context, found.dockerfile) = (expected.context.clone(), expected.dockerfile.clone());
        prop_assert_eq!(&found, &expected);
    }

    /// Whatever a file holds, loading it ends in a project or in errors.
    #[test]
    fn never_panics(text in "(services|build|web|args|: |:\n|\n  |\n    |- |\\{|\\}|\\[|\\]|!reset |!override |<<|&a |\\*a |\\$\\{X|'|\"|,|1|é){0,24}") {
        let _ = Case::new(&text).load();
    }
}

#[test]
fn knows_what_else_could_be_built() {
    let mut case = Case::new(
        "services:\n  web: {build: ./web, image: 'party:web'}\n  worker: {build: ./worker, image: 'party:worker'}\n  \
         tool: {build: ./tool, image: 'party:tool', profiles: [tools]}\n  db: {image: postgres}\n",
    );
    let names = |case: &Case| {
        let project = case.project();
        let of = |targets: &[Target]| targets.iter().map(|target| target.name.clone()).collect::<Vec<_>>().join(" ");
        (of(&project.targets), of(&project.others))
    };
    assert_eq!(names(&case), ("web worker".to_owned(), "tool".to_owned()));
    case.services = vec!["worker".to_owned()];
    assert_eq!(names(&case), ("worker".to_owned(), "web tool".to_owned()));
}
