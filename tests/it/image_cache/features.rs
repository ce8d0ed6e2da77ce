//! What Dockerfiles can do: each is cached when nothing changed, and runs again when what it depends on did.

use super::{Scene, assert_ran, prune};
use crate::support::{Engine, Images, Project, command, docker, on_every_engine, unique};

/// What is done to the project before a build.
enum Edit<'a> {
    File(&'a str, &'a str),
    /// A text of the Dockerfile that occurs once becomes another one.
    Dockerfile(&'a str, &'a str),
    Input(&'a str, &'a str),
    Outside(&'a dyn Fn()),
}
use Edit::{Dockerfile, File, Input, Outside};

/// Builds with an empty builder cache, again and again: at first with nothing changed, then after each edit, which must
/// run exactly these steps. What an edit did stays.
fn check(engine: &Engine, files: &[(&str, &str)], inputs: &[(&str, &str)], edits: &[(Edit<'_>, &[&str])]) {
    let scene = Scene::new(engine, files);
    let mut inputs = inputs.to_vec();
    let build = |inputs: &[(&str, &str)]| {
        prune(engine);
        inputs.iter().fold(scene.action(), |action, (name, value)| action.input(name, value)).run().expect_code(0)
    };
    let first = build(&inputs);
    let unchanged = build(&inputs);
    assert_ran(&unchanged, &[], "nothing changed");
    assert_eq!(unchanged.output("image-id"), first.output("image-id"));
    for (edit, runs) in edits {
        let what = match edit {
            File(path, content) => {
                scene.project.write(path, content);
                format!("{path} is now {content}")
            }
            Dockerfile(from, to) => {
                let text = std::fs::read_to_string(scene.project.path().join("Dockerfile")).unwrap();
                assert_eq!(text.matches(from).count(), 1, "{from}");
                scene.project.write("Dockerfile", text.replace(from, to));
                format!("{from} is now {to}")
            }
            Input(name, value) => {
                inputs.retain(|(other, _)| other != name);
                inputs.push((name, value));
                format!("input {name} is now {value}")
            }
            Outside(change) => {
                change();
                "something outside has changed".to_owned()
            }
        };
        assert_ran(&build(&inputs), runs, &what);
    }
}

on_every_engine!(mounts, |engine| {
    let (first, second) = (unique("first"), unique("second"));
    let id = unique("mount");
    let dockerfile = format!(
        "FROM busybox:1.36\n\
         COPY deps.txt /\n\
         RUN --mount=type=cache,id={id},target=/downloads cd /down* && date >> log && cp log /\n\
         RUN --mount=type=secret,id=token,target=/secret wc -c /secret > /length\n\
         COPY app.txt /\n"
    );
    let (cache, secret, code) = ("RUN --mount=type=cache", "RUN --mount=type=secret", "COPY app.txt");
    let (own_id, other_id) = (format!("id={id}"), format!("id={}", unique("mount")));
    // Newer ones than the BuildKit of 20.10 (0.8) leave the id of a cache mount out of what the step is
    // (`solver/llbsolver/ops/exec.go`, checkShouldClearCacheOpts).
    let behind_the_id: &[&str] = if engine.is_20_10() { &[cache, secret, code] } else { &[] };
    check(
        engine,
        &[("Dockerfile", &dockerfile), ("deps.txt", &unique("dependency")), ("app.txt", &first)],
        &[("secrets", "token=one\nother=two")],
        &[
            // A secret is no part of what a step is; nor is what a cache mount holds, which every prune here empties.
            (Input("secrets", "token=another one\nother=two"), &[]),
            (File("app.txt", &second), &[code]),
            (Dockerfile("id=token", "id=other"), &[secret, code]),
            (Dockerfile(",target=/secret", ",mode=0444,target=/secret"), &[secret, code]),
            (Dockerfile(&own_id, &other_id), behind_the_id),
            (Dockerfile("target=/downloads", "target=/downloaded"), &[cache, secret, code]),
        ],
    );
});

on_every_engine!(files_of_another_image, |engine| {
    let (first, second) = (unique("first"), unique("second"));
    let _images = Images::since_now(engine);
    let other = unique("other");
    let make_other = |content: &str| {
        let text = "FROM busybox:1.36\nCOPY file /file\nRUN date > /date\n";
        let project = Project::new(&[("Dockerfile", text), ("file", content)]);
        docker(engine, &["build", "-q", "--no-cache", "-t", &other, project.path().to_str().unwrap()]);
    };
    make_other("one\n");
    let dockerfile =
        format!("FROM busybox:1.36\nCOPY app.txt /\nCOPY --from={other} /file /file\nRUN cat /file /app.txt > /both\n");
    check(
        engine,
        &[("Dockerfile", &dockerfile), ("app.txt", &first)],
        &[],
        &[
            (Outside(&|| make_other("two\n")), &["COPY --from=other-", "RUN cat /file"]),
            (File("app.txt", &second), &["COPY app.txt", "COPY --from=other-", "RUN cat /file"]),
        ],
    );
});

on_every_engine!(heredocs_and_linked_copies, |engine| {
    if engine.is_20_10() {
        return refused_by_20_10(engine);
    }
    let (first, second) = (unique("first"), unique("second"));
    let dockerfile = "FROM busybox:1.36\n\
                      COPY deps.txt /\n\
                      COPY --link app.txt /linked/\n\
                      RUN <<END\n\
                      cat /deps.txt /linked/app.txt > /both\n\
                      END\n\
                      COPY <<END /written\n\
                      a line\n\
                      END\n";
    // A linked copy does not care what it is put on, where the engine can put layers on each other by themselves.
    let below_deps: &[&str] = if engine.has_containerd_store() {
        &["COPY deps.txt", "RUN <<END", "COPY <<END"]
    } else {
        &["COPY deps.txt", "COPY --link", "RUN <<END", "COPY <<END"]
    };
    check(
        engine,
        &[("Dockerfile", dockerfile), ("deps.txt", &unique("dependency")), ("app.txt", &first)],
        &[],
        &[
            (Dockerfile("a line", "another line"), &["COPY <<END"]),
            (Dockerfile("cat /deps.txt", "cat /deps.txt /deps.txt"), &["RUN <<END", "COPY <<END"]),
            (File("app.txt", &second), &["COPY --link", "RUN <<END", "COPY <<END"]),
            (File("deps.txt", &second), below_deps),
        ],
    );
});

/// Its frontend knows neither; if a later one of the same version did, this would show that it is to be tested.
fn refused_by_20_10(engine: &Engine) {
    for instruction in ["COPY --link Dockerfile /", "RUN <<END\ntrue\nEND"] {
        let scene = Scene::new(engine, &[("Dockerfile", &format!("FROM busybox:1.36\n{instruction}\n"))]);
        scene.action().run().expect_code(1);
    }
}

on_every_engine!(archives_and_addresses, |engine| {
    let server = Server::start(engine);
    server.serve("one");
    let archive = |content: &str| {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap());
        header.set_mode(0o644);
        archive.append_data(&mut header, "file", content.as_bytes()).unwrap();
        String::from_utf8(archive.into_inner().unwrap()).unwrap()
    };
    let dockerfile = format!(
        "FROM busybox:1.36\nADD {} /url.txt\nADD archive.tar /unpacked/\nRUN cat /url.txt /unpacked/file > /both\n",
        server.url()
    );
    check(
        engine,
        &[("Dockerfile", &dockerfile), ("archive.tar", &archive(&unique("packed")))],
        &[],
        &[
            (File("archive.tar", &archive(&unique("packed"))), &["ADD archive.tar", "RUN cat /url.txt"]),
            (Outside(&|| server.serve("two")), &["ADD http", "ADD archive.tar", "RUN cat /url.txt"]),
        ],
    );
});

on_every_engine!(triggers_shells_and_arguments_before_from, |engine| {
    let (first, second) = (unique("first"), unique("second"));
    let _images = Images::since_now(engine);
    let bases = [unique("base"), unique("base")];
    let make_base = |tag: &str, own: &str, trigger: &str| {
        let text = format!("FROM busybox:1.36\n{own}ONBUILD COPY app.txt /\nONBUILD RUN {trigger} > /size\n");
        let project = Project::new(&[("Dockerfile", &text)]);
        docker(engine, &["build", "-q", "-t", tag, project.path().to_str().unwrap()]);
    };
    // The layers of the first do not change with its triggers.
    make_base(&bases[0], "", "wc -c /app.txt");
    make_base(&bases[1], "RUN date > /base\n", "wc -c /app.txt");
    let dockerfile = format!(
        "ARG BASE={}\n\
         FROM --platform=$BUILDPLATFORM ${{BASE}}\n\
         COPY deps.txt /\n\
         SHELL [\"/bin/sh\", \"-e\", \"-c\"]\n\
         RUN cat /deps.txt /app.txt > /both\n",
        bases[0]
    );
    let other_base = format!("BASE={}", bases[1]);
    let (copied, sized, deps, both) = ("COPY app.txt", "RUN wc", "COPY deps.txt", "RUN cat /deps.txt");
    check(
        engine,
        &[("Dockerfile", &dockerfile), ("deps.txt", &unique("dependency")), ("app.txt", &first)],
        &[],
        &[
            (Dockerfile("$BUILDPLATFORM", "$TARGETPLATFORM"), &[]),
            (Dockerfile("\"-e\"", "\"-eu\""), &[both]),
            (File("deps.txt", &second), &[deps, both]),
            (Outside(&|| make_base(&bases[0], "", "wc -l /app.txt")), &[sized, deps, both]),
            (Input("build-args", &other_base), &[copied, sized, deps, both]),
        ],
    );
});

/// Not on 20.10, which imports images for its own platform alone and has none of another.
fn another_platform(engine: &Engine) {
    let _images = Images::since_now(engine);
    let (first, second) = (unique("first"), unique("second"));
    let base = unique("base");
    // The same files for both: only what the image says of itself differs, and the machine runs them as they are.
    let container = docker(engine, &["create", "busybox:1.36"]);
    for architecture in ["amd64", "arm64"] {
        let exported = command(engine).args(["export", &container]).output().unwrap().stdout;
        let project = Project::new(&[]);
        let archive = project.write("base.tar", exported);
        let (platform, tag) = (format!("linux/{architecture}"), format!("{base}:{architecture}"));
        docker(engine, &["import", "--platform", &platform, archive.to_str().unwrap(), &tag]);
    }
    docker(engine, &["rm", &container]);
    let dockerfile = format!(
        "FROM --platform=linux/amd64 {base}:amd64\n\
         COPY deps.txt /\n\
         RUN [\"/bin/sh\", \"-c\", \"cat /deps.txt > /installed\"]\n\
         COPY app.txt /\n"
    );
    let (deps, run, code) = ("COPY deps.txt", "RUN [", "COPY app.txt");
    let (amd64, arm64) = (format!("linux/amd64 {base}:amd64"), format!("linux/arm64 {base}:arm64"));
    check(
        engine,
        &[("Dockerfile", &dockerfile), ("deps.txt", &unique("dependency")), ("app.txt", &first)],
        &[],
        &[
            (Dockerfile(&amd64, &arm64), &[run, code]),
            (File("app.txt", &second), &[code]),
            (File("deps.txt", &second), &[deps, run, code]),
        ],
    );
}

#[test]
fn another_platform_engine_28_graph() {
    another_platform(&crate::support::engine("28-graph"));
}

#[test]
fn another_platform_engine_28_containerd() {
    another_platform(&crate::support::engine("28-containerd"));
}

/// A web server that the engine's BuildKit reaches: a container of the engine itself.
struct Server<'a> {
    engine: &'a Engine,
    container: String,
}

impl<'a> Server<'a> {
    fn start(engine: &'a Engine) -> Self {
        let command = "mkdir -p /www/cgi-bin && exec httpd -f -h /www";
        Self { engine, container: docker(engine, &["run", "-d", "busybox:1.36", "sh", "-c", command]) }
    }

    /// By a script, because the server's own answers to what has not changed lack the tag that BuildKit looks for.
    fn serve(&self, content: &str) {
        let script = format!(
            "mkdir -p /www/cgi-bin && cd /www/cgi-bin && echo '#!/bin/sh' > file.txt && chmod +x file.txt && \
             echo \"printf 'Content-Type: text/plain\\r\\n\\r\\n{content}'\" >> file.txt && \
             until wget -q -O - http://127.0.0.1/cgi-bin/file.txt; do sleep 0.1; done"
        );
        assert_eq!(docker(self.engine, &["exec", &self.container, "sh", "-c", &script]), content);
    }

    fn url(&self) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        format!("http://{}/cgi-bin/file.txt", docker(self.engine, &["inspect", "-f", format, &self.container]))
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = command(self.engine).args(["rm", "-f", &self.container]).output();
    }
}
