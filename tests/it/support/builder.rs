//! A builder as `docker buildx create` makes one, with a real BuildKit in it.
//!
//! BuildKit's own image cannot be pulled everywhere, so the BuildKit in the container is the one that every dockerd has: the
//! container runs the engine's own dockerd, bind-mounted from the engine's root, with its data in the volume where a builder
//! has its state. `buildctl` and `buildkitd` are stand-ins for what buildx calls there: `dial-stdio`, which passes gRPC
//! on, and the version. Name, volume and protocol
//! are a builder's; buildx itself builds in it.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::peer::command;
use super::{Engine, Project, docker, unique};

const BUILDCTL: &str = r#"#!/usr/bin/perl
use strict;
if ($0 =~ /buildkitd$/) { print "buildkitd stand-in v0.8.0 0\n"; exit 0 }
use IO::Socket::UNIX;
use IO::Select;
my $socket = IO::Socket::UNIX->new(Peer => '/run/builder.sock') or exit 1;
exit 0 if ($ARGV[0] // '') ne 'dial-stdio';
syswrite $socket, "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
my $answer = '';
while ($answer !~ /\r\n\r\n$/) { sysread($socket, my $byte, 1) or exit 1; $answer .= $byte }
my $select = IO::Select->new($socket, \*STDIN);
while (1) {
    for my $from ($select->can_read) {
        my $to = $from == $socket ? \*STDOUT : $socket;
        my $length = sysread($from, my $bytes, 65536) or exit 0;
        for (my $done = 0; $done < $length;) { $done += syswrite($to, $bytes, $length - $done, $done) // exit 0 }
    }
}
"#;

/// A builder; it goes with its volume when this is dropped.
pub(crate) struct Builder<'a> {
    engine: &'a Engine,
    pub(crate) name: String,
    config: TempDir,
}

impl<'a> Builder<'a> {
    /// Makes it and waits until it answers.
    pub(crate) fn start(engine: &'a Engine) -> Self {
        let builder = Self { engine, name: unique("b"), config: tempfile::tempdir().unwrap() };
        let (container, volume) = (builder.container(), builder.volume());
        let program = builder.config.path().join("buildctl");
        std::fs::write(&program, BUILDCTL).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let state = format!("{volume}:/var/lib/buildkit");
        // Not privileged: an engine that is not itself given every capability cannot give them all.
        let create = "create --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE --network none \
                      --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
                      --security-opt systempaths=unconfined -v /sys/fs/cgroup:/sys/fs/cgroup:rw \
                      -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro -v /usr/sbin:/sbin:ro \
                      -e PATH=/usr/sbin:/usr/bin:/bin -e DOCKER_RAMDISK=true";
        let daemon = "busybox:1.36 dockerd --data-root /var/lib/buildkit --exec-root /run/builder --pidfile /run/pid \
                      --host unix:///run/builder.sock --bridge=none --iptables=false --ip6tables=false \
                      --storage-driver overlay2";
        let arguments: Vec<&str> = create.split_whitespace().chain(["--name", &container, "-v", &state]).collect();
        docker(engine, &arguments.into_iter().chain(daemon.split_whitespace()).collect::<Vec<_>>());
        for name in ["buildctl", "buildkitd"] {
            docker(engine, &["cp", &program.display().to_string(), &format!("{container}:/bin/{name}")]);
        }
        docker(engine, &["start", &container]);
        builder.expect(&["buildx", "create", "--name", &builder.name, "--driver", "docker-container"]);
        builder.wait();
        builder
    }

    pub(crate) fn container(&self) -> String {
        format!("buildx_buildkit_{}0", self.name)
    }

    pub(crate) fn volume(&self) -> String {
        format!("buildx_buildkit_{}0_state", self.name)
    }

    pub(crate) fn stop(&self) {
        docker(self.engine, &["stop", &self.container()]);
    }

    pub(crate) fn is_running(&self) -> bool {
        docker(self.engine, &["inspect", "--format", "{{.State.Running}}", &self.container()]) == "true"
    }

    /// Builds two steps of a few megabytes in it.
    pub(crate) fn build(&self) {
        let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY big /a\nCOPY big /b\n")]);
        let content = unique("content").repeat(100_000);
        project.write("big", content);
        self.expect(&["buildx", "build", "--builder", &self.name, &project.path().display().to_string()]);
    }

    /// A build in it that takes as long as a step's command, in a base image that the builder is given.
    pub(crate) fn begin(&self, step: &str) -> (Command, Project) {
        let mut save =
            command(self.engine).args(["save", "busybox:1.36"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut loading = command(self.engine);
        loading
            .args(["exec", "-i", &self.container(), "docker", "--host=unix:///run/builder.sock", "load"])
            .stdin(save.stdout.take().unwrap());
        assert!(loading.status().unwrap().success() && save.wait().unwrap().success());
        let text = format!("FROM busybox:1.36\nRUN echo {} && {step}\n", unique("begin"));
        let project = Project::new(&[("Dockerfile", &text)]);
        let mut build = self.buildx();
        build.args(["buildx", "build", "--network", "none", "--builder", &self.name]).arg(project.path());
        (build, project)
    }

    /// The records that it holds, as buildx lists them.
    pub(crate) fn records(&self) -> usize {
        let listing = self.expect(&["buildx", "du", "--builder", &self.name]);
        listing.lines().filter(|line| line.contains(" true ") || line.contains(" false ")).count()
    }

    pub(crate) fn wait(&self) {
        let begun = Instant::now();
        while !self.run(&["buildx", "du", "--builder", &self.name]).status.success() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the builder does not answer");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn buildx(&self) -> Command {
        let mut command = command(self.engine);
        command.env("BUILDX_CONFIG", self.config.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.buildx().args(args).output().unwrap()
    }

    #[track_caller]
    fn expect(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Builder<'_> {
    fn drop(&mut self) {
        let remove = |args: &[&str]| drop(command(self.engine).args(args).output());
        remove(&["rm", "-f", &self.container()]);
        remove(&["volume", "rm", "-f", &self.volume()]);
    }
}
