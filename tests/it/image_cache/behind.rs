//! What BuildKit itself does not find: steps of a second image upon those that a first one took from records.
//!
//! A stage is made anew, with the same content. What copies from it is found by that content in the records of the first
//! image, and with it comes into the builder, under a key of the builder's own. For the second image the builder finds
//! this key by the stage's new one, and asks its records for what stands upon it; they know other keys. Nothing of this
//! program takes part here: `generations` forgives such a loss, and no other.

use std::os::unix::fs::PermissionsExt;

use super::{prune, read};
use crate::support::{Project, command, docker, engine, unique};

const DOCKERFILE: &str = "FROM busybox:1.36 AS stage\n\
                          COPY input.txt /in\n\
                          RUN cat /in > /out\n\
                          FROM busybox:1.36 AS shared\n\
                          COPY --from=stage /out /copied\n\
                          RUN cat /proc/sys/kernel/random/uuid > /shared\n\
                          FROM shared AS first\n\
                          RUN cat /proc/sys/kernel/random/uuid > /own\n\
                          FROM shared AS second\n\
                          RUN cat /proc/sys/kernel/random/uuid > /own && true\n";

/// On the one engine whose own builder writes records into a directory.
#[test]
fn dockers_own_client_loses_them_as_well_engine_28_containerd() {
    let engine = &engine("28-containerd");
    let project = Project::new(&[("context/Dockerfile", DOCKERFILE), ("context/input.txt", &unique("input"))]);
    let name = unique("behind");
    // The files that both stages of an image wrote: a step that ran again has written another one.
    let build = |target: &str, records: &str| {
        let tag = format!("{name}-{target}");
        let mut build = command(engine);
        build.current_dir(project.path()).args(["buildx", "build", "--provenance=false", "--tag", &tag]);
        let output = build.args(["--target", target, records, "context"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (read(engine, &tag, "/shared"), read(engine, &tag, "/own"))
    };
    let first = build("first", "--cache-to=type=local,dest=first");
    let second = build("second", "--cache-to=type=local,dest=second");
    assert_eq!(first.0, second.0, "the shared stage is one");

    // The stage is another one and writes the same.
    let input = project.path().join("context/input.txt");
    std::fs::set_permissions(input, PermissionsExt::from_mode(0o600)).unwrap();
    prune(engine);
    assert_eq!(build("first", "--cache-from=type=local,src=first"), first, "the first one is found");
    let behind = build("second", "--cache-from=type=local,src=second");
    assert_eq!(behind.0, second.0, "what they share is found");
    assert_ne!(behind.1, second.1, "BuildKit finds it now: `generations` need not forgive that it does not");
    prune(engine);
    assert_eq!(build("second", "--cache-from=type=local,src=second"), second, "alone it is found");
    for target in ["first", "second"] {
        docker(engine, &["image", "rm", "--force", &format!("{name}-{target}")]);
    }
}
