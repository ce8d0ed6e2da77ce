//! Logins out of a `config.json`: used where they can be, and named where a helper keeps them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::project;
use crate::support::{Action, Project, Registry, command, docker, on_every_engine, unique};

/// A `config.json` with the login for this registry, and helpers that nobody has for others.
fn config(registry: &Registry) -> String {
    let (host, auth) = (registry.host(), STANDARD.encode("user:secret"));
    format!(
        r#"{{"credsStore": "desktop", "credHelpers": {{"gcr.io": "gcloud"}}, "auths": {{"{host}": {{"auth": "{auth}"}}, "ghcr.io": {{}}}}}}"#
    )
}

/// One that leaves the login for this registry to a helper.
fn with_helper(registry: &Registry) -> String {
    format!(r#"{{"credHelpers": {{"{}": "ecr-login"}}}}"#, registry.host())
}

on_every_engine!(a_helper_matters_only_where_its_registry_is_needed, |engine| {
    let registry = Registry::beside(engine);
    let project = project(&unique("helper"));
    project.write("ci/config.json", config(&registry));
    project.write("ci/helper.json", with_helper(&registry));
    let name = unique("app");
    let tag = format!("{}/{name}:1", registry.host());
    let build = |auth: &str| {
        Action::new(engine, project.path()).input("tags", &tag).input("push", "true").input("registry-auth", auth)
    };
    // Before anything is built for it.
    let refused = build("ci/helper.json").run().expect_code(2);
    for said in ["`ci/helper.json`", "`docker-credential-ecr-login`", &format!("`{} USER PASSWORD`", registry.host())] {
        assert!(refused.stdout.contains(said), "{said}: {}", refused.stdout);
    }
    assert!(!command(engine).args(["image", "inspect", &tag]).output().unwrap().status.success());
    // Without a push nobody needs it.
    build("ci/helper.json").input("push", "false").run().expect_code(0);

    let pushed = build("./ci/config.json").run().expect_code(0);
    assert_eq!(registry.digest(&name, "1").as_deref(), Some(pushed.output("digest")));
    docker(engine, &["image", "rm", "-f", &tag]);
});

on_every_engine!(a_private_base_image_is_pulled_with_the_login_by_both_builders, |engine| {
    let registry = Registry::beside(engine);
    let base = project(&unique("private"));
    let tag = format!("{}/org/{}:1", registry.host(), unique("base"));
    let push = Action::new(engine, base.path()).input("tags", &tag).input("push", "true");
    registry.known_to(push).run().expect_code(0);
    let project = Project::new(&[("Dockerfile", &format!("FROM {tag}\nRUN cat /copy\n"))]);
    for builder in ["classic", "buildkit"] {
        docker(engine, &["image", "rm", "-f", &tag]);
        let name = unique(builder);
        let build = |auth: &str| {
            let action = Action::new(engine, project.path()).input("tags", &name).input("builder", builder);
            action.input("no-cache", "true").input("registry-auth", auth).run()
        };
        let kept = build(&with_helper(&registry)).expect_code(1);
        assert!(kept.stdout.contains("`docker-credential-ecr-login`"), "{builder}: {}", kept.stdout);
        assert!(kept.summary.contains("docker-credential-ecr-login"), "{builder}: {}", kept.summary);
        build(&config(&registry)).expect_code(0);
        docker(engine, &["image", "rm", "-f", &name]);
    }
    docker(engine, &["image", "rm", "-f", &tag]);
});
