//! SSH in builds: `RUN --mount=type=ssh` with key files, checked with OpenSSH's own tools in the build.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Action, Project, docker, on_every_engine, unique};

/// Runs one of OpenSSH's tools; a machine that lacks them (Debian's `openssh-client`) fails the test.
fn keygen(directory: &Path, name: &str, kind: &[&str], passphrase: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::create_dir_all(directory).unwrap();
    let mut command = Command::new("ssh-keygen");
    let output = command.args(["-q", "-C", "test", "-N", passphrase, "-f"]).arg(&path).arg("-t").args(kind).output();
    let output = output.expect("ssh-keygen starts: these tests need OpenSSH's client");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Puts OpenSSH's tools and the libraries that they need into a context: no base image of the tests has them.
fn add_ssh_tools(project: &Project) {
    let tools = ["/usr/bin/ssh-add", "/usr/bin/ssh-keygen"];
    let ldd = Command::new("ldd").args(tools).output().unwrap();
    let text = String::from_utf8(ldd.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    for file in libraries.chain(tools) {
        let copy = project.write(&format!("app/root{file}"), std::fs::read(file).unwrap());
        std::fs::set_permissions(copy, std::fs::metadata(file).unwrap().permissions()).unwrap();
    }
    project.write("app/root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
}

on_every_engine!(key_files_sign_in_a_build_and_stay_out_of_it, |engine| {
    let project = Project::new(&[(
        "app/Dockerfile",
        "FROM busybox:1.36\nCOPY root/ /\nCOPY *.pub /keys/\n\
         RUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && ssh-add -l | sort > /listed\n\
         RUN --mount=type=ssh echo signed > /text && for key in /keys/*.pub; do \
         ssh-keygen -Y sign -n test -f $key /text && ssh-keygen -Y check-novalidate -n test -s /text.sig < /text && \
         rm /text.sig || exit 1; done\n\
         RUN --mount=type=ssh ! ssh-add -D && ssh-add -l\n",
    )]);
    add_ssh_tools(&project);
    let keys = project.path().join("keys");
    let kinds: [(&str, &[&str]); 4] = [
        ("id_ed25519", &["ed25519"]),
        ("id_ecdsa", &["ecdsa", "-b", "256"]),
        ("id_ecdsa384", &["ecdsa", "-b", "384"]),
        ("id_rsa", &["rsa", "-b", "2048"]),
    ];
    for (name, kind) in kinds {
        keygen(&keys, name, kind, "");
        std::fs::copy(keys.join(format!("{name}.pub")), project.path().join(format!("app/{name}.pub"))).unwrap();
    }
    let tag = unique("ssh");
    let paths: Vec<String> = kinds.iter().map(|(name, _)| format!("keys/{name}")).collect();
    let run = Action::new(engine, project.path())
        .input("context", "app")
        .input("tags", &tag)
        .input("ssh", &format!("\"default={}\"", paths.join(",")))
        .run()
        .expect_code(0);
    let listed = docker(engine, &["run", "--rm", &tag, "cat", "/listed"]);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.contains("id_ed25519 (ED25519)") && listed.contains("id_rsa (RSA)"), "{listed}");
    for (name, _) in kinds {
        let key = std::fs::read_to_string(keys.join(name)).unwrap();
        let line = key.lines().nth(2).unwrap();
        assert!(!run.stdout.contains(line) && !run.stderr.contains(line) && !run.summary.contains(line));
    }
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_key_that_cannot_be_used_is_named_with_the_way_out, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nRUN --mount=type=ssh true\n")]);
    keygen(&project.path().join("keys"), "locked", &["ed25519"], "a passphrase");
    for (path, said) in [
        ("keys/locked", "encrypted with a passphrase"),
        ("keys/locked.pub", "not a private key"),
        ("keys", "neither the socket"),
    ] {
        let action = Action::new(engine, project.path()).input("tags", &unique("ssh-refused"));
        let run = action.input("ssh", &format!("default={path}")).run().expect_code(1);
        let error = run.stdout.lines().find(|line| line.starts_with("::error ")).unwrap();
        assert!(error.contains(said), "{error}");
    }
});
