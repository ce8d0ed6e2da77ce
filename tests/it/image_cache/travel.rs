//! No layer travels for the image cache, however large the images are.

use super::{Scene, prune};
use crate::support::{Action, Manner, Proxy, on_every_engine, unique};

/// Layers of 320 MB in two stages and the image.
const LARGE: &str = "FROM busybox:1.36 AS deps\n\
                     COPY deps.txt /deps.txt\n\
                     RUN dd if=/dev/zero of=/deps bs=1M count=160\n\
                     FROM busybox:1.36\n\
                     COPY --from=deps /deps /deps\n\
                     COPY app.txt /app.txt\n\
                     RUN cat /app.txt > /final\n";
const MIB: u64 = 1 << 20;

on_every_engine!(under_one_mib_for_images_of_320_mb, |engine| {
    let scene = Scene::new(engine, &[("Dockerfile", LARGE), ("deps.txt", &unique("deps")), ("app.txt", "first\n")]);
    let proxy = Proxy::new(engine, Manner::Itself);
    let build = || {
        let before = proxy.bytes();
        let action = Action::new(&proxy.engine(engine), scene.project.path()).input("tags", &scene.tag);
        let finished = action.run().expect_code(0);
        let after = proxy.bytes();
        // Everything counts: requests, context, records, the ledger, progress.
        let (sent, received) = (after.0 - before.0, after.1 - before.1);
        assert!((1000..MIB).contains(&sent), "{sent} bytes went to the engine");
        assert!((1000..MIB).contains(&received), "{received} bytes came from the engine");
        finished
    };
    assert_eq!(build().cached(), (0, 5));
    prune(engine);
    assert_eq!(build().cached(), (5, 5));
    scene.project.write("app.txt", "second\n");
    prune(engine);
    assert_eq!(build().cached(), (3, 5));
    assert_eq!(scene.read("/final"), "second");
});
