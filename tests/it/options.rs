//! Options: each arrives in the engine's BuildKit, or is refused before anything is built.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;

use crate::support::{Action, Engine, Manner, Project, Proxy, docker, on_every_engine, unique};

/// Writes down what a `RUN` sees of the options.
const PROBE: &str = "FROM busybox:1.36\n\
                     ARG BARE\n\
                     ARG WRITTEN\n\
                     RUN ( \
                     echo \"bare=$BARE\"; \
                     echo \"written=$WRITTEN\"; \
                     echo \"hosts=$(awk '$2 ~ /^probed-/ { printf \"%s %s;\", $1, $2 }' /etc/hosts)\"; \
                     echo \"shm=$(df -k /dev/shm | awk 'NR == 2 { print $2 }')\"; \
                     echo \"nofile=$(ulimit -Sn):$(ulimit -Hn)\"; \
                     echo \"links=$(awk -F: 'NR > 2 { print $1 }' /proc/net/dev | tr -d ' ' | sort | tr '\\n' ' ')\" \
                     ) > /probe\n";

/// What [`PROBE`] found, by name.
fn probe(engine: &Engine, inputs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let project = Project::new(&[("Dockerfile", PROBE)]);
    let tag = unique("probe");
    let action = Action::new(engine, project.path())
        .variable("BARE", &unique("bare"))
        .input("build-args", "BARE\nWRITTEN=a=b;c")
        .input("tags", &tag);
    inputs.iter().fold(action, |action, (name, value)| action.input(name, value)).run().expect_code(0);
    let found = docker(engine, &["run", "--rm", &tag, "cat", "/probe"]);
    docker(engine, &["image", "rm", "-f", &tag]);
    found.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Options of `RUN` steps that each leave a trace in them.
const OPTIONS: [(&str, &str); 4] = [
    ("add-hosts", "probed-four=10.1.2.3,probed-six:[fd00::7]"),
    ("shm-size", "32m"),
    ("ulimit", "nofile=512:1024"),
    ("network", "none"),
];

on_every_engine!(steps_run_with_what_was_asked_for, |engine| {
    let found = probe(engine, &OPTIONS);
    assert!(found["bare"].starts_with("bare-"), "{found:?}");
    assert_eq!(found["written"], "a=b;c");
    assert_eq!(found["hosts"], "10.1.2.3 probed-four;fd00::7 probed-six;");
    assert_eq!(found["links"], "lo");
    // The BuildKit of Docker 20.10 knows no sizes and no limits of steps, whoever its client is.
    let limits_arrive = !engine.is_20_10();
    assert_eq!(found["shm"] == (32 << 10).to_string(), limits_arrive, "{found:?}");
    assert_eq!(found["nofile"] == "512:1024", limits_arrive, "{found:?}");
});

on_every_engine!(steps_of_the_classic_builder_run_with_what_was_asked_for, |engine| {
    let found = probe(engine, &[OPTIONS.as_slice(), &[("builder", "classic")]].concat());
    assert!(found["bare"].starts_with("bare-"), "{found:?}");
    assert_eq!(found["written"], "a=b;c");
    assert_eq!(found["hosts"], "10.1.2.3 probed-four;fd00::7 probed-six;");
    assert_eq!(found["links"], "lo");
    assert_eq!(found["shm"], (32 << 10).to_string());
    assert_eq!(found["nofile"], "512:1024");
});

on_every_engine!(secrets_come_from_the_environment, |engine| {
    let step = "RUN --mount=type=secret,id=token,required=true test \"$(cat /run/secrets/token)\" = \"of the step\"\n";
    let project = Project::new(&[("Dockerfile", &format!("FROM busybox:1.36\n{step}"))]);
    let tag = unique("secret");
    let build = |value: &str| {
        Action::new(engine, project.path())
            .variable("TOKEN", value)
            .input("tags", &tag)
            .input("secret-envs", "token=TOKEN")
            .input("no-cache", "true")
            .run()
    };
    build("of another").expect_code(1);
    build("of the step").expect_code(0);
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(the_network_of_steps_is_the_one_asked_for, |engine| {
    let of_engine = docker(
        engine,
        &[
            "run",
            "--rm",
            "--network",
            "host",
            "busybox:1.36",
            "sh",
            "-c",
            "awk -F: 'NR > 2 { print $1 }' /proc/net/dev",
        ],
    );
    let host = probe(engine, &[("network", "host")]);
    let own = probe(engine, &[]);
    assert!(of_engine.contains("docker0"), "{of_engine}");
    assert!(host["links"].contains("docker0"), "{host:?}");
    assert!(!own["links"].contains("docker0"), "{own:?}");
});

on_every_engine!(host_gateway_where_the_engine_tells_it, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nRUN grep -w gateway.test /etc/hosts > /found\n")]);
    let tag = unique("gateway");
    let run = Action::new(engine, project.path())
        .input("tags", &tag)
        .input("add-hosts", "gateway.test=host-gateway")
        .input("no-cache", "true")
        .run();
    if engine.is_20_10() {
        let refused = run.expect_code(2);
        assert!(refused.stdout.contains("host-gateway"), "{}", refused.stdout);
    } else {
        run.expect_code(0);
        let found = docker(engine, &["run", "--rm", &tag, "cat", "/found"]);
        let bridge = "{{(index .IPAM.Config 0).Gateway}}";
        let gateway = docker(engine, &["network", "inspect", "bridge", "-f", bridge]);
        assert_eq!(found.split_whitespace().next(), Some(gateway.as_str()), "{found}");
        docker(engine, &["image", "rm", "-f", &tag]);
    }
});

/// Three stages, of which the second is not built on the first.
fn stages() -> Project {
    let project = Project::new(&[(
        "Dockerfile",
        "FROM busybox:1.36 AS base\n\
         COPY marker /marker\n\
         RUN cat /marker > /base\n\
         FROM busybox:1.36 AS tools\n\
         COPY marker /tool\n\
         FROM base AS app\n\
         COPY --from=tools /tool /tool\n\
         RUN cat /tool /base > /app\n",
    )]);
    project.write("marker", unique("stages"));
    project
}

on_every_engine!(no_cache_is_for_everything_or_for_the_stages_named, |engine| {
    let project = stages();
    let tag = unique("no-cache");
    let build = || Action::new(engine, project.path()).input("tags", &tag);
    let cached = |name: &str, value: &str| build().input(name, value).run().expect_code(0).cached();
    assert_eq!(build().run().expect_code(0).cached(), (0, 5));
    assert_eq!(cached("no-cache-filters", "app"), (3, 5));
    assert_eq!(cached("no-cache-filters", "tools, app"), (2, 5));
    assert_eq!(cached("no-cache", "true"), (0, 5));
    assert_eq!(build().run().expect_code(0).cached(), (5, 5));
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(labels_keep_their_commas_and_equals_signs, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM scratch\nLABEL of.the.file=kept over=written\nCOPY . /\n")]);
    let tag = unique("labels");
    Action::new(engine, project.path())
        .input("tags", &tag)
        .input("labels", "org.example.query=a=1,b=2,c==\n# a comment\nover=ridden\norg.example.empty=")
        .run()
        .expect_code(0);
    let labels = docker(engine, &["image", "inspect", "-f", "{{json .Config.Labels}}", &tag]);
    let labels: BTreeMap<String, String> = serde_json::from_str(&labels).unwrap();
    let expected =
        [("of.the.file", "kept"), ("org.example.empty", ""), ("org.example.query", "a=1,b=2,c=="), ("over", "ridden")];
    assert_eq!(labels, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(platforms_as_many_as_the_image_store_keeps, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY marker /\n"), ("marker", "x")]);
    let tag = unique("platforms");
    let build =
        |platforms: &str| Action::new(engine, project.path()).input("tags", &tag).input("platforms", platforms).run();
    build("linux/arm64").expect_code(0);
    assert_eq!(docker(engine, &["image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", &tag]), "linux/arm64");
    let two = build("linux/amd64,linux/arm64");
    if engine.has_containerd_store() {
        two.expect_code(0);
        let manifests = Saved::of(engine, &tag).manifests();
        let architectures: Vec<&str> =
            manifests.iter().map(|m| m["platform"]["architecture"].as_str().unwrap()).collect();
        assert_eq!(architectures, ["amd64", "arm64"]);
    } else {
        let refused = two.expect_code(2);
        assert!(refused.stdout.contains("need the containerd image store"), "{}", refused.stdout);
    }
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(attestations_only_where_asked_for_and_kept, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nRUN touch /x\n")]);
    let tag = unique("attested");
    let build = || Action::new(engine, project.path()).input("tags", &tag);
    build().run().expect_code(0);
    let asked = build().input("provenance", "true").run();
    if engine.has_containerd_store() {
        asked.expect_code(0);
        let manifests = Saved::of(engine, &tag).manifests();
        let kinds: Vec<&str> = manifests
            .iter()
            .filter_map(|manifest| manifest["annotations"]["vnd.docker.reference.type"].as_str())
            .collect();
        assert_eq!((kinds.as_slice(), manifests.len()), (["attestation-manifest"].as_slice(), 2));
        build().run().expect_code(0);
        assert_eq!(Saved::of(engine, &tag).manifests().len(), 1);
    } else {
        let refused = asked.expect_code(2);
        assert!(refused.stdout.contains("provenance needs the containerd image store"), "{}", refused.stdout);
    }
    docker(engine, &["image", "rm", "-f", &tag]);
});

#[test]
fn layers_are_compressed_as_asked_for_engine_28_containerd() {
    let engine = &crate::support::engine("28-containerd");
    let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY marker /\n")]);
    for (compression, beginning) in
        [("auto", b"marker".as_slice()), ("gzip", b"\x1f\x8b"), ("zstd", b"\x28\xb5\x2f\xfd")]
    {
        project.write("marker", unique("layer"));
        let tag = unique("compressed");
        Action::new(engine, project.path()).input("tags", &tag).input("compression", compression).run().expect_code(0);
        let saved = Saved::of(engine, &tag);
        let layer = &saved.document(&saved.manifests()[0])["layers"][0];
        let bytes = saved.blob(layer);
        assert!(bytes.starts_with(beginning), "{compression}: {layer} begins {:?}", &bytes[..8]);
        docker(engine, &["image", "rm", "-f", &tag]);
    }
}

on_every_engine!(a_pull_asks_the_registry_and_says_when_there_is_none, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nRUN touch /x\n")]);
    let run =
        Action::new(engine, project.path()).input("tags", &unique("pulled")).input("pull", "true").run().expect_code(1);
    assert!(run.stdout.contains("busybox:1.36"), "{}", run.stdout);
    let annotation = run.stdout.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(annotation.contains("registry was not reached"), "{annotation}");
});

on_every_engine!(two_services_build_at_the_same_time_over_one_connection, |real| {
    let proxy = Proxy::new(real, Manner::Itself);
    let step = |name: &str| format!("FROM busybox:1.36\nRUN echo {} && sleep 3\n", unique(name));
    let project = Project::new(&[
        ("compose.yaml", "services:\n  one:\n    build: ./one\n  two:\n    build: ./two\n"),
        ("one/Dockerfile", &step("one")),
        ("two/Dockerfile", &step("two")),
    ]);
    let name = unique("together").to_lowercase();
    let run = Action::new(&proxy.engine(real), project.path())
        .input("compose-file", "compose.yaml")
        .variable("COMPOSE_PROJECT_NAME", &name)
        .run()
        .expect_code(0);
    let result = run.result();
    let seconds = |value: &Value| value.as_f64().unwrap();
    let slept = |image: &Value| seconds(&image["steps"][0]["duration_seconds"]);
    let images = result["images"].as_array().unwrap();
    assert!(images.iter().all(|image| slept(image) >= 3.0), "{result}");
    let sum: f64 = images.iter().map(slept).sum();
    assert!(seconds(&result["duration_seconds"]) < sum, "{result}");
    let connections: Vec<String> = proxy.seen().into_iter().filter(|line| line.starts_with("POST /grpc")).collect();
    assert_eq!(connections.len(), 1, "{:?}", proxy.seen());
    docker(real, &["image", "rm", "-f", &format!("{name}-one"), &format!("{name}-two")]);
});

on_every_engine!(no_image_holds_a_cache_that_nobody_asked_for, |engine| {
    let project = stages();
    let tag = unique("clean");
    let build = || Action::new(engine, project.path()).input("tags", &tag).input("cache-from", &tag);
    let holds_cache = || Saved::of(engine, &tag).contains("moby.buildkit.cache.v0");
    build().run().expect_code(0);
    build().run().expect_code(0);
    assert!(!holds_cache());
    // What is looked for is there if it is asked for.
    build().input("build-args", "BUILDKIT_INLINE_CACHE=1").run().expect_code(0);
    assert!(holds_cache());
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_service_is_the_context_of_another_where_the_engine_knows_contexts, |engine| {
    let name = unique("contexts").to_lowercase();
    let content = unique("shared");
    let project = Project::new(&[
        (
            "compose.yaml",
            "services:\n  app:\n    build:\n      context: ./app\n      additional_contexts:\n        base: service:shared\n\
             \x20 shared:\n    build: ./shared\n",
        ),
        ("app/Dockerfile", "FROM base\nCOPY --from=base /shared /copied\n"),
        ("shared/Dockerfile", &format!("FROM busybox:1.36\nRUN sleep 1 && echo {content} > /shared\n")),
    ]);
    let run = Action::new(engine, project.path())
        .input("compose-file", "compose.yaml")
        .variable("COMPOSE_PROJECT_NAME", &name)
        .run();
    if engine.is_20_10() {
        let refused = run.expect_code(2);
        assert!(refused.stdout.contains("build-contexts need the BuildKit of Docker 23.0"), "{}", refused.stdout);
        return;
    }
    run.expect_code(0);
    let (app, shared) = (format!("{name}-app"), format!("{name}-shared"));
    assert_eq!(docker(engine, &["run", "--rm", &app, "cat", "/copied"]), content);
    docker(engine, &["image", "rm", "-f", &app, &shared]);
});

/// The files of `docker image save`.
struct Saved(BTreeMap<String, Vec<u8>>);

impl Saved {
    fn of(engine: &Engine, image: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.tar");
        docker(engine, &["image", "save", "-o", &path.display().to_string(), image]);
        let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        });
        Self(files.collect())
    }

    fn contains(&self, needle: &str) -> bool {
        self.0.values().any(|content| content.windows(needle.len()).any(|window| window == needle.as_bytes()))
    }

    /// What a descriptor names.
    fn blob(&self, descriptor: &Value) -> &[u8] {
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        &self.0[&format!("blobs/{digest}")]
    }

    fn document(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(self.blob(descriptor)).unwrap()
    }

    /// The descriptors of the image's manifests, out of the index if there is one.
    fn manifests(&self) -> Vec<Value> {
        let layout: Value = serde_json::from_slice(&self.0["index.json"]).unwrap();
        let top = layout["manifests"].as_array().unwrap().clone();
        let is_index = |media_type: &Value| {
            matches!(
                media_type.as_str().unwrap(),
                "application/vnd.oci.image.index.v1+json" | "application/vnd.docker.distribution.manifest.list.v2+json"
            )
        };
        match top.as_slice() {
            [index] if is_index(&index["mediaType"]) => self.document(index)["manifests"].as_array().unwrap().clone(),
            _ => top,
        }
    }
}
