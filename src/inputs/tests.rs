//! Table tests in the shape of docker/build-push-action's `__tests__/context.test.ts`: inputs in, meaning or messages out.

use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use saphyr::{LoadableYamlNode, Yaml};

use super::{
    BuildInputs, BuilderChoice, ClearInputs, ClearScope, ClearSource, Compression, Inputs, Output, RawInputs,
    RegistryCredential, RemoteSelector, Report, Source, parse, table,
};
use crate::image::pattern::Pattern;
use crate::project::target::{
    BuildSecret, CacheOption, CacheSource, Context, Dockerfile, NamedContext, NoCache, SecretSource, SshSource,
};
use crate::runner::{self, Environment};
use crate::secret::Secret;

const VARIABLES: [(&str, &str); 4] =
    [("GITHUB_WORKSPACE", "/w"), ("FROM_ENV", "value of the environment"), ("EMPTY", ""), ("SSH_AUTH_SOCK", "/agent")];

/// The inputs as the runner hands them over: every declared default is there.
fn raw(inputs: &[(&str, &str)], variables: &[(&str, &str)]) -> RawInputs {
    let defaults = table::ALL.iter().map(|input| (input.variable(), input.fallback().unwrap_or_default()));
    let given = inputs.iter().map(|(name, value)| (format!("INPUT_{}", name.to_uppercase()), *value));
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), *value));
    let environment: Environment = defaults.chain(given).chain(variables).collect();
    let (context, _) = runner::Context::read(&environment, Path::new("/"));
    RawInputs::new(&environment, &context, Vec::new())
}

fn read(inputs: &[(&str, &str)]) -> (Inputs, Vec<String>) {
    parse(&raw(inputs, &VARIABLES)).unwrap_or_else(|errors| panic!("{inputs:?}: {errors:?}"))
}

fn build(inputs: &[(&str, &str)]) -> BuildInputs {
    match read(inputs) {
        (Inputs::Build(build), warnings) => {
            assert_eq!(warnings, [""; 0], "{inputs:?}");
            *build
        }
        (Inputs::Clear(_), _) => panic!("{inputs:?} is a clear"),
    }
}

fn clear(inputs: &[(&str, &str)]) -> ClearInputs {
    let inputs: Vec<_> = inputs.iter().copied().chain([("mode", "clear")]).collect();
    match read(&inputs) {
        (Inputs::Clear(clear), _) => *clear,
        (Inputs::Build(_), _) => panic!("{inputs:?} is a build"),
    }
}

/// Every message with its way out.
fn problems(inputs: &[(&str, &str)]) -> Vec<String> {
    match parse(&raw(inputs, &VARIABLES[..3])) {
        Ok(_) => panic!("{inputs:?} was taken"),
        Err(errors) => errors.iter().map(|error| format!("{error} -> {}", error.help())).collect(),
    }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn pairs<C: FromIterator<(String, String)>>(values: &[(&str, &str)]) -> C {
    values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_defaults_build_the_workspace() {
    let inputs = build(&[]);
    assert_eq!(
        inputs.source,
        Source::Dockerfile {
            context: Context::Local(PathBuf::from("/w")),
            file: Dockerfile::File(PathBuf::from("/w/Dockerfile")),
            target: None,
            tags: Vec::new(),
        }
    );
    assert_eq!((inputs.commit_arg.as_str(), inputs.commit), ("GIT_COMMIT_HASH", None));
    assert_eq!((inputs.compression, inputs.common.builder), (Compression::Auto, BuilderChoice::Auto));
    assert_eq!(inputs.common.report, Report { summary: true, check: true, comment: false, annotations: false });
    assert_eq!((inputs.pull, inputs.no_cache, inputs.common.github_token), (false, NoCache::Off, None));
}

#[test]
fn at_a_terminal_the_defaults_are_the_same() {
    let environment = Environment::default();
    let (context, _) = runner::Context::read(&environment, Path::new("/w"));
    let bare = RawInputs::new(&environment, &context, Vec::new());
    assert!(bare.is_empty());
    assert_eq!(parse(&bare).unwrap().0, Inputs::Build(Box::new(build(&[]))));
}

#[test]
fn reads_what_to_build() {
    let image = |context, file, target: Option<&str>, tags: &[&str]| Source::Dockerfile {
        context,
        file,
        target: target.map(str::to_owned),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
    };
    let local = |path: &str| Context::Local(PathBuf::from(path));
    let file = |path: &str| Dockerfile::File(PathBuf::from(path));
    let git = "https://github.com/docker/build-push-action.git#refs/heads/master";
    for (inputs, expected) in [
        (&[("context", "backend")][..], image(local("/w/backend"), file("/w/backend/Dockerfile"), None, &[])),
        // A file is relative to the workspace, and not to the context.
        (&[("context", "a"), ("file", "b/D")], image(local("/w/a"), file("/w/b/D"), None, &[])),
        (
            &[("context", git)],
            image(Context::Remote(git.to_owned()), Dockerfile::InContext("Dockerfile".to_owned()), None, &[]),
        ),
        (
            &[("context", git), ("file", "./test/Dockerfile"), ("target", "release")],
            image(
                Context::Remote(git.to_owned()),
                Dockerfile::InContext("./test/Dockerfile".to_owned()),
                Some("release"),
                &[],
            ),
        ),
        (
            &[("tags", "name/app:7.4, name/app:latest\nlocalhost:5000/name/app")],
            image(
                local("/w"),
                file("/w/Dockerfile"),
                None,
                &["name/app:7.4", "name/app", "localhost:5000/name/app:latest"],
            ),
        ),
        (
            &[("compose-file", "compose.yaml\n# local\n ci/compose.ci.yaml"), ("services", "web, api")],
            Source::Compose {
                files: vec![PathBuf::from("/w/compose.yaml"), PathBuf::from("/w/ci/compose.ci.yaml")],
                services: strings(&["web", "api"]),
            },
        ),
    ] {
        assert_eq!(build(inputs).source, expected, "{inputs:?}");
    }
}

#[test]
fn reads_how_to_build() {
    let inputs = build(&[
        ("build-args", "MY_ARG=val1,val2,val3\nARG=val#1\n\"MULTILINE=aaaa\nbb\"\"bb\nccc\"\nFROM_ENV\nABSENT\nEMPTY"),
        (
            "labels",
            "org.opencontainers.image.title=filter_results_top_n\norg.opencontainers.image.description=Reference of \"filter (top-n)\", and more\nbare",
        ),
        ("annotations", "a=b=c\nmanifest:d="),
        ("build-contexts", "base=docker-image://alpine:3\nassets=./assets\nrepo=https://github.com/a/b.git"),
        ("platforms", "linux/amd64\n\"linux/arm64,linux/arm/v7\""),
        ("network", "host"),
        ("add-hosts", "docker:10.180.0.1,foo=10.0.0.1\nsix=[::1]\nseven:fe80::1\nhost.docker.internal:host-gateway"),
        ("shm-size", "2g"),
        ("ulimit", "nofile=1024:1024\nnproc=3\nmemlock=-1:-1"),
        ("allow", "network.host,security.insecure"),
        ("pull", "True"),
        ("no-cache-filters", "build, test"),
        ("provenance", "mode=max"),
        ("sbom", "true"),
        ("commit", " abc "),
        ("commit-arg", "COMMIT"),
        ("compression", "zstd"),
        ("cache-key", "web"),
        ("cache-max-age", "7d"),
        ("cache-stages", "FALSE"),
        ("remove-superseded", "false"),
    ]);
    assert_eq!(inputs.cache_key.as_deref(), Some("web"));
    assert_eq!(inputs.cache_max_age, TimeDelta::try_days(7));
    assert!(!inputs.cache_stages && !inputs.remove_superseded && !inputs.fail_if_stale);
    assert!(build(&[("fail-if-stale", "true")]).fail_if_stale);
    assert_eq!(
        inputs.build_args,
        pairs(&[
            ("MY_ARG", "val1,val2,val3"),
            ("ARG", "val#1"),
            ("MULTILINE", "aaaa\nbb\"bb\nccc"),
            ("FROM_ENV", "value of the environment"),
            ("EMPTY", ""),
        ])
    );
    assert_eq!(
        inputs.labels,
        pairs(&[
            ("org.opencontainers.image.title", "filter_results_top_n"),
            ("org.opencontainers.image.description", "Reference of \"filter (top-n)\", and more"),
            ("bare", ""),
        ])
    );
    assert_eq!(inputs.annotations, pairs::<Vec<_>>(&[("a", "b=c"), ("manifest:d", "")]));
    assert_eq!(
        inputs.build_contexts,
        BTreeMap::from([
            ("base".to_owned(), NamedContext::Remote("docker-image://alpine:3".to_owned())),
            ("assets".to_owned(), NamedContext::Local(PathBuf::from("/w/assets"))),
            ("repo".to_owned(), NamedContext::Remote("https://github.com/a/b.git".to_owned())),
        ])
    );
    assert_eq!(inputs.platforms, strings(&["linux/amd64", "linux/arm64", "linux/arm/v7"]));
    assert_eq!(inputs.network.as_deref(), Some("host"));
    assert_eq!(
        inputs.add_hosts,
        pairs::<Vec<_>>(&[
            ("docker", "10.180.0.1"),
            ("foo", "10.0.0.1"),
            ("six", "::1"),
            ("seven", "fe80::1"),
            ("host.docker.internal", "host-gateway"),
        ])
    );
    assert_eq!(inputs.shm_size, Some(2 << 30));
    assert_eq!(inputs.ulimits, strings(&["nofile=1024:1024", "nproc=3", "memlock=-1:-1"]));
    assert_eq!(inputs.allow, strings(&["network.host", "security.insecure"]));
    assert_eq!((inputs.pull, inputs.no_cache), (true, NoCache::Stages(strings(&["build", "test"]))));
    assert_eq!((inputs.provenance.as_deref(), inputs.sbom.as_deref()), (Some("mode=max"), Some("true")));
    assert_eq!((inputs.commit.as_deref(), inputs.commit_arg.as_str()), (Some("abc"), "COMMIT"));
    assert_eq!(inputs.compression, Compression::Zstd);
}

#[test]
fn reads_cache_sources() {
    let option = |kind: &str, attributes: &[(&str, &str)]| {
        CacheSource::BuildKit(CacheOption { kind: kind.to_owned(), attributes: pairs(attributes) })
    };
    let inputs = build(&[("cache-from", "user/app:cache, app\ntype=local,src=path/to/dir\nType=gha,scope=main")]);
    assert_eq!(
        inputs.cache_from,
        [
            CacheSource::Image("user/app:cache".parse().unwrap()),
            CacheSource::Image("app:latest".parse().unwrap()),
            option("local", &[("src", "path/to/dir")]),
            option("gha", &[("scope", "main")]),
        ]
    );
}

#[test]
fn reads_secrets_untrimmed() {
    let (inputs, warnings) = read(&[
        ("secrets", "GIT_AUTH_TOKEN=abcdefghi,jklmno=0123456789 \n\"MYSECRET=aaaa\n\nbb\"\"bb\n\"\nFORK=\n"),
        ("secret-files", "FILE=./secret.txt"),
        ("secret-envs", "ENV=FROM_ENV,NONE=EMPTY"),
        ("ssh", "default\ngh=keys/id_a,keys/id_b,other=/k"),
        ("registry-auth", "ghcr.io octo hunter2"),
        ("github-token", "t0ken"),
    ]);
    let Inputs::Build(build) = &inputs else { panic!("not a build") };
    let value =
        |id: &str, value: &str| BuildSecret { id: id.to_owned(), source: SecretSource::Value(Secret::new(value)) };
    assert_eq!(
        build.secrets,
        [
            value("GIT_AUTH_TOKEN", "abcdefghi,jklmno=0123456789 "),
            value("MYSECRET", "aaaa\n\nbb\"bb\n"),
            BuildSecret { id: "FILE".to_owned(), source: SecretSource::File(PathBuf::from("/w/secret.txt")) },
            value("ENV", "value of the environment"),
            value("NONE", ""),
        ]
    );
    assert_eq!(warnings, ["input `secrets`, entry 3: has no value, so the secret is not offered"]);
    let source =
        |id: &str, paths: &[&str]| SshSource { id: id.to_owned(), paths: paths.iter().map(PathBuf::from).collect() };
    assert_eq!(
        build.ssh,
        [source("default", &["/agent"]), source("gh", &["/w/keys/id_a", "/w/keys/id_b"]), source("other", &["/k"])]
    );
    let hidden: Vec<_> = runner::secrets(&inputs).into_iter().map(Secret::expose).collect();
    assert_eq!(
        hidden,
        ["t0ken", "hunter2", "abcdefghi,jklmno=0123456789 ", "aaaa\n\nbb\"bb\n", "value of the environment", ""]
    );
}

#[test]
fn reads_registry_credentials_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let path = path.to_str().unwrap();
    let text = r#"{"auths": {"ghcr.io": {"auth": "b2N0bzpodW50ZXIy"}}}"#;
    std::fs::write(path, text).unwrap();
    let expected =
        [RegistryCredential { host: "ghcr.io".to_owned(), user: "octo".to_owned(), password: Secret::new("hunter2") }];
    assert_eq!(build(&[("registry-auth", path)]).registry_auth.logins, expected);
    assert_eq!(build(&[("registry-auth", text)]).registry_auth.logins, expected);
}

#[test]
fn reads_a_clear() {
    let inputs = clear(&[("images", "app, web:*\n# old\nghcr.io/o/*"), ("keep", "app:stable"), ("dry-run", "true")]);
    let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&inputs.images), ["app", "web:*", "ghcr.io/o/*"]);
    assert_eq!(texts(&inputs.keep), ["app:stable"]);
    assert_eq!(
        (inputs.dry_run, inputs.scope),
        (true, ClearScope { images: true, builder: true, ..ClearScope::default() })
    );
    assert_eq!(inputs.source, ClearSource::Unknown);
    // In a job nothing has to say which images are meant: its repository's ledgers do.
    let job = [("GITHUB_WORKSPACE", "/w"), ("GITHUB_REPOSITORY", "org/repo")];
    match parse(&raw(&[("mode", "clear")], &job)) {
        Ok((Inputs::Clear(inputs), _)) => {
            assert_eq!((inputs.source, inputs.scope.images), (ClearSource::Unknown, true));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(clear(&[("tags", "app")]).source, ClearSource::Tags(vec!["app:latest".parse().unwrap()]));
    assert_eq!(clear(&[("scope", "builder")]).scope, ClearScope { builder: true, ..ClearScope::default() });
    assert_eq!(
        clear(&[("compose-file", "c.yaml")]).source,
        ClearSource::Compose { files: vec![PathBuf::from("/w/c.yaml")], services: Vec::new() }
    );
}

#[test]
fn reads_selectors_of_what_is_elsewhere() {
    let text = "app, registry=ghcr.io/o/app:*-cache,package=o/app:pr-*;untagged;older-than=30d\nactions-cache=a-*;ref=refs/pull/1/merge";
    let inputs = clear(&[("images", text), ("scope", "images, builders")]);
    assert_eq!(inputs.images.iter().map(ToString::to_string).collect::<Vec<_>>(), ["app"]);
    assert_eq!(
        inputs.remote,
        [
            RemoteSelector::Registry("ghcr.io/o/app:*-cache".parse().unwrap()),
            RemoteSelector::Package("o/app:pr-*;untagged;older-than=30d".parse().unwrap()),
            RemoteSelector::ActionsCache("a-*;ref=refs/pull/1/merge".parse().unwrap()),
        ]
    );
    assert_eq!(inputs.scope, ClearScope { images: true, builders: true, ..ClearScope::default() });
    let (_, warnings) = read(&[("mode", "clear"), ("images", "app, package=o/app:x")]);
    assert_eq!(warnings, ["input `images` names something for `scope: packages`, which is not in scope"]);
    let names = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let inputs = clear(&[("images", "registry, registry:2"), ("keep", "package")]);
    assert_eq!(
        (names(&inputs.images), names(&inputs.keep)),
        (strings(&["registry", "registry:2"]), strings(&["package"]))
    );
    // Who names packages has not said that the project's images go too.
    for (scope, source) in [("images, packages", ("tags", "app")), ("images, builder, packages", ("compose-file", "c"))]
    {
        assert_eq!(
            problems(&[("mode", "clear"), ("images", "package=o/app:x"), ("scope", scope), source]),
            [format!(
                "input `scope`, `{scope}`: `images` is to be cleared, and nothing says what of it -> name it in `images`, as `app:*`, or leave it out"
            )]
        );
    }
    assert!(clear(&[("images", "package=o/app:x"), ("scope", "builder, packages")]).images.is_empty());
    assert_eq!(
        problems(&[("mode", "clear"), ("images", "registry=")]),
        ["input `images`, `registry=`: is not a selector -> write it as registry=ghcr.io/org/app:*-cache"]
    );
    assert_eq!(
        problems(&[("mode", "clear"), ("images", "registry=r.io/App:x")]),
        [
            "input `images`, `registry=r.io/App:x`: does not name tags of a registry: 'r.io/App' is not a repository: repository name must be lower case -> write it as `registry=host/repository:tag`, in lower case"
        ]
    );
}

#[test]
fn an_input_of_the_other_mode_is_a_warning() {
    let (_, warnings) = read(&[("scope", "images"), ("dry-run", "false"), ("input", "x")]);
    assert_eq!(
        warnings,
        ["there is no input `input`", "input `scope` has a meaning for `mode: clear` alone and is not used"]
    );
    let (_, warnings) = read(&[("mode", "clear"), ("tags", "app"), ("shm-size", "bad"), ("push", "true")]);
    assert_eq!(
        warnings,
        [
            "input `shm-size` has a meaning for `mode: build` alone and is not used",
            "input `push` has a meaning for `mode: build` alone and is not used",
        ]
    );
}

#[test]
fn reports() {
    for (text, [summary, check, comment, annotations]) in [
        ("summary, check", [true, true, false, false]),
        ("check\nsummary", [true, true, false, false]),
        ("summary", [true, false, false, false]),
        ("annotations,comment", [false, false, true, true]),
        ("none", [false, false, false, false]),
    ] {
        let expected = Report { summary, check, comment, annotations };
        assert_eq!(build(&[("report", text)]).common.report, expected, "{text}");
        assert_eq!(expected.failures(), check || annotations);
    }
}

#[test]
fn every_problem_has_its_message() {
    let digest = format!("app@sha256:{}", "a".repeat(64));
    let one_of = |words: &str| format!("is not one of {words} -> write one of {words}, or leave it unset");
    const PATTERN: &str = "write one a line, or with commas between them: an image name with `*`, `?` and `[a-z]` (`app:1.*`, `ghcr.io/org/*`; `**` goes across slashes), `sha256:<id>`, `label=key[=value]` or `older-than=7d`";
    let conflict = "cannot be combined with `compose-file` -> leave one of the two out: Compose files say themselves how their images are built and called";
    let digest_message = format!(
        "input `tags`, `{digest}`: has a digest, which only a registry gives to an image -> leave the part from `@` on out"
    );
    for (inputs, expected) in [
        (&[("mode", "clean")][..], vec![format!("input `mode`, `clean`: {}", one_of("`build`, `clear`"))]),
        (&[("pull", "yes")], strings(&["input `pull`, `yes`: is not a boolean -> write `true` or `false`"])),
        (
            &[("cache-max-age", "week")],
            strings(&[
                "input `cache-max-age`, `week`: is not an age -> write it as a number with a unit, as `7d`, `12h` or `30m`",
            ]),
        ),
        (
            &[("cache-stages", "on")],
            strings(&["input `cache-stages`, `on`: is not a boolean -> write `true` or `false`"]),
        ),
        (
            &[("compression", "lz4")],
            vec![format!("input `compression`, `lz4`: {}", one_of("`auto`, `uncompressed`, `gzip`, `zstd`"))],
        ),
        (
            &[("compose-file", "c"), ("context", "."), ("tags", "a")],
            vec![format!("input `context`, `.`: {conflict}"), format!("input `tags`, `a`: {conflict}")],
        ),
        (
            &[("services", "web")],
            strings(&[
                "input `services`, `web`: means nothing without `compose-file` -> leave it unset, or set `compose-file` as well",
            ]),
        ),
        (
            &[("context", "{{defaultContext}}:docker")],
            strings(&[
                "input `context`, `{{defaultContext}}:docker`: templates such as `{{defaultContext}}` are not expanded -> check the repository out and name a directory of it, or write the Git URL in full",
            ]),
        ),
        (&[("tags", &*digest)], vec![digest_message]),
        (
            &[("tags", "App\nwatchparty-cache/x")],
            strings(&[
                "input `tags`, `App`: is not an image reference: repository name must be lower case -> write it as `[host/]name[:tag]`, in lower case",
                "input `tags`, `watchparty-cache/x`: lies in the namespace `watchparty-cache/`, which holds this action's own images -> choose another name",
            ]),
        ),
        (
            &[("shm-size", "2x")],
            strings(&["input `shm-size`, `2x`: is not a size -> write it as a number with a unit, as `64m` or `2g`"]),
        ),
        (
            &[("ulimit", "nofile=2:1")],
            strings(&[
                "input `ulimit`, `nofile=2:1`: is not a resource limit -> write it as `name=soft[:hard]`, as `nofile=1024:2048`",
            ]),
        ),
        (
            &[("add-hosts", "db:nowhere")],
            strings(&[
                "input `add-hosts`, `db:nowhere`: is not a host and its address -> write it as `host:ip` or `host=ip`",
            ]),
        ),
        (
            &[("platforms", "linux/a/b/c")],
            strings(&[
                "input `platforms`, `linux/a/b/c`: is not a platform -> write it as `os/arch[/variant]`, as `linux/arm64`",
            ]),
        ),
        (&[("network", "mynet")], vec![format!("input `network`, `mynet`: {}", one_of("`default`, `none`, `host`"))]),
        (
            &[("allow", "all")],
            vec![format!("input `allow`, `all`: {}", one_of("`network.host`, `security.insecure`, `device`"))],
        ),
        (
            &[("build-args", "OK=1\nMY PASS=hunter2")],
            strings(&[
                "input `build-args`, entry 2: is not a build argument -> write it as `NAME=value`; quote an entry that spans several lines",
            ]),
        ),
        (
            &[("labels", "a=\"b\n\"c=d")],
            strings(&[
                "input `labels`: the quote that opens on line 2 is never closed -> close it, and write a quote inside of a quoted entry twice (`\"\"`)",
            ]),
        ),
        (
            &[("cache-from", "ref=app")],
            strings(&[
                "input `cache-from`, `ref=app`: is not a cache source -> write it as an image reference, or `type=registry,ref=…` with `name=value` pairs",
            ]),
        ),
        (
            &[("no-cache", "true"), ("no-cache-filters", "a")],
            strings(&[
                "input `no-cache-filters`, `a`: cannot be combined with `no-cache` -> leave `no-cache` unset for the named stages alone, or `no-cache-filters` for all of them",
            ]),
        ),
        (
            &[("secrets", "A=hunter2\nhunter3"), ("secret-envs", "A=FROM_ENV,B=NOWHERE"), ("ssh", "default")],
            strings(&[
                "input `secrets`, entry 2: is not an id and a value with `=` between them -> write it as `id=value`; quote an entry that spans several lines: `\"id=line one…\"`",
                "input `secret-envs`, `A=FROM_ENV`: its id was given before -> give every secret an id of its own, over all inputs for secrets",
                "input `secret-envs`, `B=NOWHERE`: the environment variable `NOWHERE` is not set -> set `NOWHERE` in the `env:` of the step, or leave the entry out",
                "input `ssh`, `default`: there is no SSH agent: the environment variable `SSH_AUTH_SOCK` is not set -> name a key file inside the workspace, as `default=path`; a container action does not see an agent of the host",
            ]),
        ),
        (
            &[("registry-auth", "ghcr.io hunter2")],
            strings(&[
                "input `registry-auth`: line 1 is not `host user password` -> write one line for each registry: its host, the user and the password, with blanks between them",
            ]),
        ),
        (
            &[("registry-auth", "hunter2")],
            strings(&[
                "input `registry-auth`: could not read the file `***`: entity not found -> give a path inside the workspace: the container does not see the `~/.docker` of the host",
            ]),
        ),
        (
            &[("mode", "clear")],
            strings(&[
                "input `scope`, `images, builder`: the images are to be cleared, and nothing says which -> set `compose-file`, `tags` or `images`; or `scope: builder`, to clear the builder cache alone",
            ]),
        ),
        (
            // A pattern that is wrong was meant to name something: nobody is told besides that nothing says which.
            &[("mode", "clear"), ("images", "a b, app"), ("keep", "app:"), ("dry-run", "yes")],
            strings(&[
                &format!("input `images`, `a b`: is not a pattern of images: image names do not have ' ' -> {PATTERN}"),
                &format!("input `keep`, `app:`: is not a pattern of images: the tag is empty -> {PATTERN}"),
                "input `dry-run`, `yes`: is not a boolean -> write `true` or `false`",
            ]),
        ),
        (
            &[("mode", "clear"), ("images", "App")],
            strings(&[&format!(
                "input `images`, `App`: is not a pattern of images: image names are in lower case, and this has 'A' -> {PATTERN}"
            )]),
        ),
    ] {
        assert_eq!(problems(inputs), expected, "{inputs:?}");
    }
}

#[test]
fn the_cache_is_kept_in_one_place() {
    let inputs = build(&[("cache-to", "ghcr.io/org/app:main\ntype=gha,mode=max")]);
    assert_eq!(inputs.cache_to, Some("ghcr.io/org/app:main".parse().unwrap()));
    assert_eq!(inputs.cache_exports.iter().map(|export| export.kind.as_str()).collect::<Vec<_>>(), ["gha"]);
    for (value, expected) in [
        ("a/b:1\na/b:2", "the cache is kept in one place -> name one, and read others by `cache-from`"),
        (
            &format!("a/b@sha256:{}", "a".repeat(64)),
            "what is written has no digest yet -> leave the part from `@` on out, and name a tag",
        ),
    ] {
        let shown = value.replace('\n', "\\n");
        assert_eq!(problems(&[("cache-to", value)]), [format!("input `cache-to`, `{shown}`: {expected}")]);
    }
}

#[test]
fn what_does_not_work_is_refused_with_the_way_out() {
    for (name, value, expected) in [
        (
            "outputs",
            "type=local,dest=o",
            "the image always goes into the engine, and nowhere else -> leave it unset; `docker save` or `docker cp` in a later step exports it",
        ),
        ("load", "true", "the image is always loaded into the engine -> leave it unset"),
        (
            "call",
            "check",
            "only builds are run, no other frontend method -> leave it unset; `docker build --call` in a step of its own does it",
        ),
        (
            "attests",
            "type=sbom",
            "attestations are asked for one by one -> leave it unset; use `provenance` and `sbom`",
        ),
        (
            "cgroup-parent",
            "foo",
            "the parent cgroup of build steps cannot be chosen -> leave it unset; set `cgroup-parent` in the configuration of the engine",
        ),
        (
            "report",
            "mail",
            "is not one of `summary`, `check`, `comment`, `annotations`, `none` -> write one of `summary`, `check`, `comment`, `annotations`, `none`, or leave it unset",
        ),
        (
            "fail-if-slower",
            "25%",
            "is not a percentage and a time -> write it as a percentage and a time, as `25% and 30s`: the build fails if it is slower by more than both",
        ),
    ] {
        assert_eq!(problems(&[(name, value)]), [format!("input `{name}`, `{value}`: {expected}")]);
    }
    let scope = "input `scope`, `image`: is not one of `images`, `builder`, `builders`, `registry`, `packages`, `actions-cache` -> write one of `images`, `builder`, `builders`, `registry`, `packages`, `actions-cache`, or leave it unset";
    assert_eq!(problems(&[("mode", "clear"), ("tags", "a"), ("scope", "images, image")]), [scope]);
}

#[test]
fn harmless_values_of_refused_inputs_are_taken() {
    build(&[("load", "False"), ("push", "false"), ("call", "build")]);
}

#[test]
fn all_problems_come_at_once_and_say_flag_or_input() {
    let environment: Environment = [("INPUT_SHM-SIZE", "x"), ("INPUT_PULL", "1")].into_iter().collect();
    let (context, _) = runner::Context::read(&environment, Path::new("/w"));
    let raw = RawInputs::new(&environment, &context, vec![("platforms", "a b".to_owned()), ("pull", "0".to_owned())]);
    let messages: Vec<_> = parse(&raw).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "flag `platforms`, `a b`: is not a platform",
            "input `shm-size`, `x`: is not a size",
            "flag `pull`, `0`: is not a boolean"
        ]
    );
}

#[test]
fn long_values_are_cut_and_stay_on_one_line() {
    let value = format!("a\nb{}", "x".repeat(300));
    let message = problems(&[("network", &value)]).remove(0);
    assert!(message.starts_with("input `network`, `a\\nbxxx") && message.contains("xxx…`: is not"), "{message}");
    assert!(!message.contains('\n') && message.chars().count() < 400, "{message}");
}

#[test]
fn action_yml_is_the_declaration() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/action.yml")).unwrap();
    let documents = Yaml::load_from_str(&text).unwrap();
    let section = |name: &str| -> Vec<(String, Option<String>, Option<String>)> {
        let mapping = documents[0].as_mapping_get(name).and_then(Yaml::as_mapping).unwrap();
        let field = |value: &Yaml<'_>, name| value.as_mapping_get(name).and_then(Yaml::as_str).map(str::to_owned);
        mapping
            .iter()
            .map(|(key, value)| {
                let fields = value.as_mapping().unwrap().len();
                let entry = (key.as_str().unwrap().to_owned(), field(value, "description"), field(value, "default"));
                assert_eq!(fields, 1 + usize::from(entry.2.is_some()), "{entry:?} has other fields");
                entry
            })
            .collect()
    };
    let inputs: Vec<_> = table::ALL
        .iter()
        .map(|input| (input.name.to_owned(), Some(input.description.to_owned()), input.default.map(str::to_owned)))
        .collect();
    assert_eq!(section("inputs"), inputs);
    let outputs: Vec<_> = Output::ALL
        .iter()
        .map(|output| (output.name().to_owned(), Some(output.description().to_owned()), None))
        .collect();
    assert_eq!(section("outputs"), outputs);
    let runs = documents[0].as_mapping_get("runs").unwrap();
    let run = |key| runs.as_mapping_get(key).and_then(Yaml::as_str);
    assert_eq!(
        (run("using"), run("image"), run("entrypoint")),
        (Some("docker"), Some("Dockerfile"), Some("/watchparty-cache"))
    );
}

proptest! {
    /// Whatever stands in an input, parsing ends, and what is secret is in no message.
    #[test]
    fn messages_never_hold_a_secret(
        index in 0..table::ALL.len(),
        value in "([=,:/\"\n #{}]|[a-z0-9]|.){0,40}",
        mode in prop::sample::select(vec!["build", "clear"]),
        marker in prop::sample::select(vec!["secrets", "registry-auth", "github-token"]),
    ) {
        let secret = format!("{value} h;u;n;t;e;r {value}");
        let name = table::ALL[index].name;
        let inputs = [("mode", mode), (marker, secret.as_str()), (name, value.as_str())];
        let inputs = if name == marker || name == "mode" { &inputs[..2] } else { &inputs[..] };
        let messages = match parse(&raw(inputs, &VARIABLES)) {
            Ok((_, warnings)) => warnings.join("\n"),
            Err(errors) => errors.iter().map(|error| format!("{error} {error:?} {}", error.help())).collect(),
        };
        prop_assert!(!messages.contains("h;u;n;t;e;r"), "{}", messages);
    }
}
