//! The context that travels holds the files that Docker's own client sends, whatever the ignore file says.

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Action, Engine, Project, docker, on_every_engine, unique};

/// Lists every file of the context with mode, link target and content: what an image made from it would hold.
const LISTING: &str = "FROM busybox:1.36\nCOPY . /context\nRUN cd /context && find . | sort | while read -r f; do \
                       echo \"$(stat -c '%a %F %h' \"$f\") $f $(readlink \"$f\") \
                       $(test -f \"$f\" && sha256sum < \"$f\" | cut -c1-12)\"; done > /listing\n";

fn tree() -> Project {
    let project = Project::new(&[("Dockerfile", LISTING)]);
    for path in [
        "README.md",
        "a.txt",
        "b.md",
        "src/main.rs",
        "src/a.txt",
        "src/deep/er/a.txt",
        "src/deep/er/keep.log",
        "target/x",
        "target/keep/y",
        "node_modules/m/index.js",
        "docs/README.md",
        "docs/guide.md",
        "z[1].txt",
        "with space.txt",
        "ünï.txt",
        "#hash",
        "logs/a.log",
        "logs/b.log",
        "logs/important.log",
        "foo/bar/baz",
        "foo/bar/qux",
        "foo/quux",
    ] {
        project.write(path, path);
    }
    let executable = project.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(executable, std::fs::Permissions::from_mode(0o755)).unwrap();
    let private = project.write("private", "x");
    std::fs::set_permissions(private, std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("a.txt", project.path().join("link")).unwrap();
    symlink("/nowhere/at/all", project.path().join("dangling")).unwrap();
    symlink("src", project.path().join("src-link")).unwrap();
    std::fs::hard_link(project.path().join("a.txt"), project.path().join("hard")).unwrap();
    std::fs::create_dir(project.path().join("empty")).unwrap();
    project
}

fn listings(engine: &Engine, project: &Project) -> (String, String) {
    let (ours, theirs) = (unique("ours"), unique("theirs"));
    Action::new(engine, project.path()).input("tags", &ours).run().expect_code(0);
    let path = project.path().display().to_string();
    docker(engine, &["buildx", "build", "-q", "--no-cache", "-t", &theirs, &path]);
    let listing = |tag: &str| docker(engine, &["run", "--rm", tag, "cat", "/listing"]);
    let result = (listing(&ours), listing(&theirs));
    docker(engine, &["image", "rm", "-f", &ours, &theirs]);
    result
}

on_every_engine!(the_same_files_as_the_peer_under_every_ignore_file, |engine| {
    let project = tree();
    for ignore in [
        "",
        "*.md\n!README.md\n",
        "# a comment\n\n  target  \nnode_modules/\n/docs\n",
        "**/*.txt\n!src/**/a.txt\n",
        "*\n!src\nsrc/deep\n!src/deep/er/keep.log\n",
        "logs/*\n!logs/important.log\nfoo/bar\n!foo/bar/baz\n",
        "z\\[1\\].txt\n?.txt\n[b-d].md\n",
        "src/..\n./a.txt\n.dockerignore\nDockerfile\n",
        "**/er\n**/m/**\nempty\nlink\ndangling\n",
        "!a.txt\n\u{fc}n*\nwith space.txt\n\\#hash\n",
    ] {
        project.write(".dockerignore", ignore);
        let (ours, theirs) = listings(engine, &project);
        assert_eq!(ours, theirs, "with the ignore file {ignore:?}");
    }
});

on_every_engine!(the_dockerfiles_own_ignore_file_wins, |engine| {
    let project = tree();
    project.write(".dockerignore", "*.txt\n");
    project.write("Dockerfile.dockerignore", "src\n");
    let (ours, theirs) = listings(engine, &project);
    assert_eq!(ours, theirs);
    assert!(ours.contains("./a.txt") && !ours.contains("./src/main.rs"));
});

on_every_engine!(an_excluded_file_costs_nothing_however_large, |engine| {
    let project = Project::new(&[
        ("Dockerfile", "FROM busybox:1.36\nCOPY . /context\n"),
        (".dockerignore", "huge\n"),
        ("small", "x"),
    ]);
    let huge = std::fs::File::create(project.path().join("huge")).unwrap();
    huge.set_len(10 << 30).unwrap();
    let tag = unique("sparse");
    let started = std::time::Instant::now();
    Action::new(engine, project.path()).input("tags", &tag).run().expect_code(0);
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    assert_eq!(docker(engine, &["run", "--rm", &tag, "ls", "/context"]), "Dockerfile\nsmall");
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(an_unchanged_file_does_not_travel_twice, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY . /context\n"), ("marker", "1")]);
    let block: Vec<u8> = (0..8_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    project.write("large", block);
    project.write("unique", unique("context"));
    let tag = unique("incremental");
    let bytes = || {
        let run = Action::new(engine, project.path()).input("tags", &tag).run().expect_code(0);
        run.result()["images"][0]["context_bytes"].as_u64().unwrap()
    };
    assert!(bytes() >= 8 << 20);
    project.write("marker", "2");
    let second = bytes();
    assert!(second < 1 << 20, "{second} bytes travelled for one changed byte");
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_file_that_vanishes_while_it_is_sent_fails_clearly_or_not_at_all, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM busybox:1.36\nCOPY . /context\n")]);
    for n in 0..2000 {
        project.write(&format!("files/{n:04}"), format!("{}{n}", unique("v")));
    }
    let tag = unique("vanishes");
    let action = Action::new(engine, project.path()).input("tags", &tag);
    let child = action.start();
    for n in (0..2000).rev() {
        let _ = std::fs::remove_file(project.path().join(format!("files/{n:04}")));
    }
    let output = child.wait_with_output().unwrap();
    let finished = action.finish(&output);
    match finished.code {
        Some(0) => {
            docker(engine, &["image", "rm", "-f", &tag]);
        }
        Some(1) => assert!(finished.stdout.contains("removed while it was sent"), "{}", finished.stdout),
        code => panic!("{code:?}: {}{}", finished.stdout, finished.stderr),
    }
});
