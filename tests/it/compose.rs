//! Compose projects: what is built, in which order, under which names.

use crate::support::{Action, Project, docker, on_every_engine, unique};

on_every_engine!(services_get_the_names_and_labels_that_compose_gives_them, |engine| {
    let name = unique("party").to_lowercase();
    let project = Project::new(&[
        (
            "compose.yaml",
            "services:\n  web:\n    build: ./web\n  api:\n    build:\n      context: .\n      dockerfile: api.Dockerfile\n\
             \x20     args: [WHO]\n    image: ${API_IMAGE:?}\n  db:\n    image: busybox:1.36\n",
        ),
        ("web/Dockerfile", "FROM busybox:1.36\nRUN touch /web\n"),
        ("api.Dockerfile", "FROM busybox:1.36\nARG WHO\nRUN echo $WHO > /who\n"),
        (".env", "WHO=everybody\n"),
    ]);
    let api = unique("api");
    let run = Action::new(engine, project.path())
        .input("compose-file", "compose.yaml")
        .variable("COMPOSE_PROJECT_NAME", &name)
        .variable("API_IMAGE", &api)
        .run()
        .expect_code(0);
    assert_eq!(run.cached().1, 2);
    let result = run.result();
    let names: Vec<&str> = result["images"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["web", "api"]);
    assert_eq!(docker(engine, &["run", "--rm", &api, "cat", "/who"]), "everybody");
    let label = |image: &str, label: &str| {
        docker(engine, &["image", "inspect", "-f", &format!("{{{{index .Config.Labels \"{label}\"}}}}"), image])
    };
    let web = format!("{name}-web");
    assert_eq!(label(&web, "com.docker.compose.project"), name);
    assert_eq!(label(&web, "com.docker.compose.service"), "web");
    docker(engine, &["image", "rm", "-f", &web, &api]);
});

on_every_engine!(a_service_waits_for_the_image_it_builds_on, |engine| {
    let base = unique("base");
    let (base_file, app_file) = ("FROM busybox:1.36\nRUN sleep 1 && echo base > /base\n", "RUN cat /base > /app\n");
    let project = Project::new(&[
        (
            "compose.yaml",
            &format!("services:\n  app:\n    build: ./app\n  base:\n    build: ./base\n    image: {base}\n"),
        ),
        ("base/Dockerfile", base_file),
        ("app/Dockerfile", &format!("FROM {base}\n{app_file}")),
    ]);
    let name = unique("order").to_lowercase();
    Action::new(engine, project.path())
        .input("compose-file", "compose.yaml")
        .variable("COMPOSE_PROJECT_NAME", &name)
        .run()
        .expect_code(0);
    let app = format!("{name}-app");
    assert_eq!(docker(engine, &["run", "--rm", &app, "cat", "/app"]), "base");
    docker(engine, &["image", "rm", "-f", &app, &base]);
});

on_every_engine!(a_failure_is_one_services_and_what_builds_on_it_is_skipped, |engine| {
    let base = unique("broken");
    let project = Project::new(&[
        (
            "compose.yaml",
            &format!(
                "services:\n  app:\n    build: ./app\n  base:\n    build: ./base\n    image: {base}\n  other:\n    build: ./other\n"
            ),
        ),
        ("base/Dockerfile", "FROM busybox:1.36\nRUN exit 9\n"),
        ("app/Dockerfile", &format!("FROM {base}\nRUN true\n")),
        ("other/Dockerfile", "FROM busybox:1.36\nRUN touch /fine\n"),
    ]);
    let name = unique("skips").to_lowercase();
    let run = Action::new(engine, project.path())
        .input("compose-file", "compose.yaml")
        .variable("COMPOSE_PROJECT_NAME", &name)
        .run()
        .expect_code(1);
    let images = run.result()["images"].clone();
    let result = |index: usize| images[index]["result"].as_str().unwrap().to_owned();
    assert_eq!((result(0).as_str(), result(1).as_str(), result(2).as_str()), ("skipped", "failed", "built"));
    docker(engine, &["image", "rm", "-f", &format!("{name}-other")]);
});

on_every_engine!(services_that_share_their_steps_are_counted_right, |engine| {
    let name = unique("shared").to_lowercase();
    let service = |name: &str| format!("  {name}:\n    build: .\n");
    let project = Project::new(&[
        ("compose.yaml", &format!("services:\n{}{}{}", service("web"), service("worker"), service("third"))),
        ("Dockerfile", "FROM busybox:1.36\nCOPY marker /marker\nRUN cat /marker > /a\nRUN cat /a > /b\n"),
    ]);
    project.write("marker", unique("marker"));
    let build = || {
        Action::new(engine, project.path())
            .input("compose-file", "compose.yaml")
            .variable("COMPOSE_PROJECT_NAME", &name)
            .run()
            .expect_code(0)
    };
    let cold = build();
    assert_eq!(cold.cached(), (0, 9), "{}", cold.summary);
    let warm = build();
    assert_eq!(warm.cached(), (9, 9), "{}", warm.summary);
    for service in ["web", "worker", "third"] {
        docker(engine, &["image", "rm", "-f", &format!("{name}-{service}")]);
    }
});
