//! Images of others as a cache: what `cache-from` gives on an engine whose builder has nothing.

use crate::support::{Action, Project, docker, on_every_engine, unique};

on_every_engine!(an_image_with_inline_records_is_a_cache_on_every_engine, |engine| {
    let project = Project::new(&[
        (
            "Dockerfile",
            "FROM busybox:1.36\n\
             COPY deps.txt /deps.txt\n\
             RUN cat /deps.txt > /installed\n\
             COPY app.txt /app.txt\n\
             RUN cat /app.txt /installed > /out\n",
        ),
        ("app.txt", "first\n"),
    ]);
    project.write("deps.txt", unique("inline"));
    let (earlier, tag) = (unique("earlier"), unique("later"));
    Action::new(engine, project.path())
        .input("tags", &earlier)
        .input("build-args", "BUILDKIT_INLINE_CACHE=1")
        .run()
        .expect_code(0);
    docker(engine, &["builder", "prune", "-af"]);

    project.write("app.txt", "second\n");
    let later =
        Action::new(engine, project.path()).input("tags", &tag).input("cache-from", &earlier).run().expect_code(0);
    let result = later.result();
    let image = &result["images"][0];
    assert_eq!(later.cached(), (2, 4));
    assert_eq!(later.output("cache-source"), "image");
    assert!(image.get("unused_sources").is_none(), "{image}");
    let cached: Vec<bool> =
        image["steps"].as_array().unwrap().iter().map(|step| step["cached"].as_bool().unwrap()).collect();
    assert_eq!(cached, [true, true, false, false]);
    assert!(docker(engine, &["run", "--rm", &tag, "cat", "/out"]).starts_with("second"));
    docker(engine, &["image", "rm", "-f", &earlier, &tag]);
});
