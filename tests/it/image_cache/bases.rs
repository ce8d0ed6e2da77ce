//! A base image that changes: what it gives to the steps counts, and nothing else of it.

use super::{Scene, assert_ran, prune};
use crate::support::{Engine, docker, on_every_engine, unique};

const DOCKERFILE: &str = "FROM base AS deps\n\
                          COPY deps.txt /deps.txt\n\
                          RUN echo \"$GREETING\" | cat - /deps.txt > /installed\n\
                          FROM base\n\
                          COPY --from=deps /installed /installed\n\
                          RUN echo \"$GREETING\" | cat - /installed > /final\n";

/// A base image with layers of its own, of which there can be several that differ in their configuration alone.
struct Base<'a> {
    engine: &'a Engine,
    name: String,
    container: String,
}

impl<'a> Base<'a> {
    fn new(engine: &'a Engine) -> Self {
        let name = unique("based");
        let container = docker(engine, &["create", "busybox:1.36", "true"]);
        Self { engine, name, container }
    }

    /// The image has this configuration from now on; gives its id.
    fn becomes(&self, changes: &[&str]) -> String {
        let options = changes.iter().flat_map(|change| ["--change", change]);
        let arguments: Vec<&str> =
            ["commit"].into_iter().chain(options).chain([self.container.as_str(), &self.name]).collect();
        docker(self.engine, &arguments)
    }
}

impl Drop for Base<'_> {
    fn drop(&mut self) {
        docker(self.engine, &["rm", "--force", &self.container]);
        docker(self.engine, &["image", "rm", "--force", &self.name]);
    }
}

on_every_engine!(of_a_base_image_the_layers_and_what_reaches_the_steps_count, |engine| {
    let base = Base::new(engine);
    let dockerfile = DOCKERFILE.replace("FROM base", &format!("FROM {}", base.name));
    let deps = unique("dependency");
    let scene = Scene::new(engine, &[("Dockerfile", &dockerfile), ("deps.txt", &deps)]);
    let mut ids = vec![base.becomes(&["ENV GREETING=one", "LABEL number=1"])];
    assert_eq!(scene.build().cached(), (0, 4));

    for number in ["2", "3", "4"] {
        ids.push(base.becomes(&["ENV GREETING=one", &format!("LABEL number={number}")]));
        // At the fourth image the builder still knows the third one's manifest.
        let finished = if number == "4" { scene.build() } else { scene.build_pruned() };
        assert_ran(&finished, &[], &format!("another label, {number}"));
        assert_eq!(docker(engine, &["inspect", "-f", "{{.Config.Labels.number}}", &scene.tag]), number);
    }
    assert_eq!(scene.read("/final"), format!("one\none\n{deps}"));

    ids.push(base.becomes(&["ENV GREETING=two", "LABEL number=4"]));
    let of_environment = ["RUN echo", "COPY --from=deps", "RUN echo"];
    assert_ran(&scene.build_pruned(), &of_environment, "another environment");
    assert_eq!(scene.read("/final"), format!("two\ntwo\n{deps}"));

    ids.push(base.becomes(&["ENV GREETING=two", "LABEL number=4", "USER 7"]));
    prune(engine);
    let by_another_user = scene.action().run();
    assert_eq!(by_another_user.code, Some(1), "what root may write another user may not: {}", by_another_user.stdout);

    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "the base image was always another one");
});
