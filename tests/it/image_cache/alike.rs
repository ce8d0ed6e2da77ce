//! Several images of one project that are like each other: in their names, or in their first steps.

use super::prune;
use crate::support::{Action, Engine, Finished, Images, Project, docker, on_every_engine, unique};

/// Two services, `web` and `worker`, with Dockerfiles and contexts of their own.
struct Services<'a> {
    engine: &'a Engine,
    project: Project,
    images: Images<'a>,
    tags: [String; 2],
}

const NAMES: [&str; 2] = ["web", "worker"];

impl<'a> Services<'a> {
    /// `tags` are the images' names; both Dockerfiles begin with `common` steps.
    fn new(engine: &'a Engine, tags: [String; 2], common: &str) -> Self {
        let images = Images::since_now(engine);
        let service = |(name, tag): (&str, &String)| format!("  {name}:\n    build: ./{name}\n    image: {tag}\n");
        let services: String = NAMES.into_iter().zip(&tags).map(service).collect();
        let project = Project::new(&[("compose.yaml", &format!("services:\n{services}"))]);
        for name in NAMES {
            let own = format!("COPY code.txt /code.txt\nRUN cat /code.txt > /{name}\n");
            let last = format!("FROM busybox:1.36\nCOPY --from=build /{name} /out\n");
            project.write(&format!("{name}/Dockerfile"), format!("FROM busybox:1.36 AS build\n{common}{own}{last}"));
        }
        let services = Self { engine, project, images, tags };
        services.change(&NAMES);
        services
    }

    fn change(&self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.project.write(&format!("{name}/code.txt"), unique("code"))));
    }

    fn build(&self, services: &str) -> Finished {
        let action = Action::new(self.engine, self.project.path()).input("compose-file", "compose.yaml");
        action.input("services", services).run().expect_code(0)
    }
}

impl Drop for Services<'_> {
    fn drop(&mut self) {
        self.images.remove(&self.tags);
    }
}

// Each in a job of its own, as a matrix does it.
on_every_engine!(two_services_of_one_repository_that_two_runs_build_keep_their_caches, |engine| {
    let repository = unique("party");
    let services = Services::new(engine, NAMES.map(|name| format!("{repository}:{name}")), "");
    NAMES.iter().for_each(|name| drop(services.build(name)));
    assert_eq!((services.images.of_kind("ledger").len(), services.images.of_kind("stage").len()), (2, 2));
    for round in 0..2 {
        for name in NAMES {
            prune(engine);
            let again = services.build(name);
            assert_eq!(again.cached(), (3, 3), "round {round}: {}", again.stdout);
        }
    }
    // Together they are the same two.
    prune(engine);
    assert_eq!(services.build("").cached(), (6, 6));
    assert_eq!(services.images.of_kind("ledger").len(), 2);
});

on_every_engine!(images_whose_first_steps_are_the_same_find_them_at_the_same_time, |engine| {
    let common = format!("RUN echo {} > /first\nRUN cat /first > /second\nWORKDIR /app\n", unique("common"));
    let services = Services::new(engine, NAMES.map(unique), &common);
    services.build("");
    for round in 0..4 {
        // Of one or of both: the common steps are offered to two builds at once.
        services.change(&NAMES[round % 2..]);
        prune(engine);
        let again = services.build("");
        let cached = if round % 2 == 0 { 6 } else { 9 };
        assert_eq!(again.cached(), (cached, 12), "round {round}: {}", again.stdout);
        for (name, tag) in NAMES.into_iter().zip(&services.tags) {
            let code = std::fs::read_to_string(services.project.path().join(name).join("code.txt")).unwrap();
            assert_eq!(docker(engine, &["run", "--rm", tag, "cat", "/out"]), code, "round {round}");
        }
    }
});
