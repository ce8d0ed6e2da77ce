//! An image that a container holds stays, and is no cache any more.

use super::{Cleared, exists};
use crate::support::{docker, on_every_engine, unique};

on_every_engine!(an_image_that_a_container_runs_stays_and_the_next_build_is_fresh, |engine| {
    let it = Cleared::new();
    it.build(engine);
    let id = docker(engine, &["image", "inspect", "--format", "{{.Id}}", &it.tag]);
    let container = unique("container");
    docker(engine, &["run", "-d", "--name", &container, &it.tag, "sleep", "600"]);

    let held = it.clear(engine).run().expect_code(4);
    assert_eq!(held.output("verified"), "false");
    assert!(held.summary.contains(&format!("used by container {container}")), "{}", held.summary);
    assert!(exists(engine, &it.tag));
    assert_eq!(docker(engine, &["inspect", "--format", "{{.State.Running}}", &container]), "true");
    let ledgers = docker(engine, &["image", "ls", "-q", "watchparty-cache/ledger", "--filter", &format!("since={id}")]);
    assert_eq!(ledgers, "", "a ledger could bring its layers back");

    // Everything that could bring its layers back is gone: the records of the builder, and those of the ledger.
    let fresh = it.build(engine);
    assert_eq!(fresh.cached(), (0, 3));
    assert!(fresh.summary.contains("Fresh build"), "{}", fresh.summary);
    docker(engine, &["rm", "-f", &container]);
    it.clear(engine).run().expect_code(0);
});
