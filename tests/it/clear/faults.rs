//! An engine that stops while it is cleared: nothing is called removed that is still there.

use super::{Cleared, exists};
use crate::support::{Images, Manner, Proxy, docker, on_every_engine};

on_every_engine!(an_engine_that_stops_between_two_removals_is_told_as_it_is, |engine| {
    for removals in [1, 3] {
        let it = Cleared::new();
        let _images = Images::since_now(engine);
        let names: Vec<String> = (0..4).map(|number| format!("{}:{number}", it.tag)).collect();
        names.iter().for_each(|name| drop(docker(engine, &["tag", "busybox:1.36", name])));
        let proxy = Proxy::new(engine, Manner::Itself);
        proxy.cut_after(removals, "DELETE ");
        let run = it.clear(&proxy.engine(engine)).input("images", &it.tag).run().expect_code(4);
        for name in &names {
            let (removed, failed) = (
                run.stdout.contains(&format!("removed {name}\n")),
                run.stdout.contains(&format!("could not remove {name}")),
            );
            assert!(removed != failed, "{name}: {}", run.stdout);
            assert!(!removed || !exists(engine, name), "{name} is called removed and is there: {}", run.stdout);
        }
        let gone = names.iter().filter(|name| !exists(engine, name)).count();
        assert_eq!(gone, removals, "{}", run.stdout);
        assert!(run.output("verified") != "true" && run.output("freed-bytes") == "0", "{:?}", run.outputs);
        assert!(run.stdout.contains("could not be verified"), "{}", run.stdout);

        // Running it again continues.
        let again = it.clear(engine).input("images", &it.tag).run().expect_code(0);
        assert_eq!(again.output("verified"), "true");
    }
});

on_every_engine!(a_buildkit_that_fails_does_not_keep_the_images, |engine| {
    let it = Cleared::new();
    let _images = Images::since_now(engine);
    docker(engine, &["tag", "busybox:1.36", &it.tag]);
    let proxy = Proxy::new(engine, Manner::BrokenBuildKit);
    let dry = it.clear(&proxy.engine(engine)).input("dry-run", "true").run().expect_code(4);
    assert!(dry.stdout.contains("not looked at: the engine's builder: "), "{}", dry.stdout);
    let run = it.clear(&proxy.engine(engine)).run().expect_code(4);
    assert!(!exists(engine, &it.tag), "{}", run.stdout);
    assert_eq!((run.output("verified"), run.output("images-removed")), ("false", "1"));
    assert_eq!(run.output("freed-bytes"), "0");
    assert!(run.stdout.contains("not cleared: the engine's builder: "), "{}", run.stdout);
    // Where nobody asked for the builder, nothing is missing.
    docker(engine, &["tag", "busybox:1.36", &it.tag]);
    let run = it.clear(&proxy.engine(engine)).input("scope", "images").run().expect_code(0);
    assert_eq!((run.output("verified"), run.output("images-removed")), ("true", "1"));
    assert!(run.stdout.contains("what was freed is not known"), "{}", run.stdout);
    // Alone it is all that there is to do.
    it.clear(&proxy.engine(engine)).input("scope", "builder").run().expect_code(3);
    let others = it.clear(&proxy.engine(engine)).input("scope", "builder, builders").run().expect_code(4);
    assert!(others.stdout.contains("Other builders of the engine"), "{}", others.stdout);
});
