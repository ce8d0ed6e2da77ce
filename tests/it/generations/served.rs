//! What the image cache serves to the builder is records and not layers, however large the images are.

use crate::support::{Action, Project, docker, on_every_engine, unique};

on_every_engine!(large_images_are_a_cache_without_being_read, |engine| {
    let salt = unique("served");
    let dockerfile = "FROM busybox:1.36 AS large\n\
                      COPY salt /salt\n\
                      RUN cat /salt > /large && dd if=/dev/zero bs=1M count=310 >> /large\n\
                      FROM large\n\
                      RUN wc -c < /large > /size\n";
    let project = Project::new(&[("Dockerfile", dockerfile), ("salt", &salt)]);
    let build = || {
        let action = Action::new(engine, project.path()).input("tags", &salt).variable("RUNNER_DEBUG", "1");
        action.run().expect_code(0)
    };
    let first = build();
    assert_eq!(first.cached(), (0, 3));
    docker(engine, &["builder", "prune", "--all", "--force"]);
    let pruned = build();
    let size = docker(engine, &["image", "inspect", "--format", "{{.Size}}", &salt]);
    // First of all: 620 MB are not left behind by a test that fails.
    docker(engine, &["image", "rm", "--force", &salt]);
    docker(engine, &["builder", "prune", "--all", "--force"]);

    assert!(size.parse::<u64>().unwrap() > 300 << 20, "{size}");
    assert_eq!(pruned.cached(), (3, 3), "{}", pruned.stdout);
    assert_eq!(pruned.output("image-id"), first.output("image-id"));
    let served = served(&pruned.stdout);
    assert!(!served.is_empty(), "the log does not say what was served: {}", pruned.stdout);
    let served: u64 = served.iter().sum();
    assert!(served > 0 && served < 1 << 20, "{served} bytes");
});

/// Every number of bytes that the log says.
fn served(log: &str) -> Vec<u64> {
    let numbers = log.lines().filter_map(|line| {
        line.split_once("image cache: served ")?.1.split_once(" bytes to the builder")?.0.parse().ok()
    });
    numbers.collect()
}
