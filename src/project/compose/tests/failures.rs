//! The texts of errors: place, key, problem, way out.

use super::{Case, build};

#[track_caller]
fn fails(case: &Case, expected: &[&str]) {
    assert_eq!(case.errors(), expected.join("\n"));
}

#[test]
fn yaml() {
    fails(
        &Case::new("services:\n  web:\n    build: [.\n"),
        &[
            "compose.yaml:4:1: invalid YAML: while parsing a flow sequence, expected ',' or ']'",
            "  help: expected valid YAML: check the indentation, brackets and quotes near this place",
        ],
    );
    fails(
        &Case::new("services:\n\tweb: {}\n"),
        &[
            "compose.yaml:2:2: invalid YAML: tabs disallowed within this context (block indentation)",
            "  help: expected spaces: YAML does not allow tabs for indentation",
        ],
    );
    fails(&Case::new("- a\n"), &["compose.yaml:1:1: expected a mapping, found a list", "  help: write a mapping here"]);
    fails(&Case::new("# nothing\n"), &["empty Compose file", "  help: add a 'services:' section"]);
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let text = format!("x-deep: {}{}\n", open.repeat(20_000), close.repeat(20_000));
        assert!(Case::new(&text).load().is_err());
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let case = Case::new(
        "services:\n  web:\n    build:\n      dockerfil: x\n      target: 5\n      pull: maybe\n  api:\n    biuld: .\n    image: a\n",
    );
    fails(
        &case,
        &[
            "compose.yaml:4:7: services.web.build: unknown key 'dockerfil'",
            "  help: did you mean 'dockerfile'?",
            "compose.yaml:8:5: services.api: unknown key 'biuld'",
            "  help: did you mean 'build'?",
            "compose.yaml:5:15: services.web.build.target: expected a string, found a number",
            "  help: put the value in quotes",
            "compose.yaml:6:13: services.web.build.pull: invalid value 'maybe': expected 'true' or 'false'",
            "  help: write 'true' or 'false', and check the variables used here",
        ],
    );
}

#[test]
fn files_and_services_that_are_missing() {
    let mut case = Case::new("services: {web: {build: .}, api: {build: .}}\n");
    case.files.push(case.path("gone.yaml"));
    fails(
        &case,
        &[
            "the Compose file 'gone.yaml' does not exist",
            "  help: check the path, and that the repository was checked out before this step",
        ],
    );
    fails(
        &Case::new("services: {web: {build: .}, api: {build: .}}\n").service("db"),
        &["services: service 'db' is not defined", "  help: existing services: web, api"],
    );
    fails(
        &Case::new("include: [gone.yaml]\nservices: {web: {extends: {file: lost.yaml, service: x}}}\n"),
        &[
            "compose.yaml:1:11: include[0]: the Compose file 'gone.yaml' does not exist",
            "  help: check the path, and that the repository was checked out before this step",
            "compose.yaml:2:27: services.web.extends: the Compose file 'lost.yaml' does not exist",
            "  help: check the path, and that the repository was checked out before this step",
        ],
    );
    fails(
        &Case::new("services: {web: {build: .}}\n").variable("COMPOSE_ENV_FILES", "gone.env"),
        &["the env file 'gone.env' does not exist", "  help: create it, commit it, or remove the reference to it"],
    );
}

#[test]
fn variables() {
    fails(
        &build("{args: {A: '${X:?say $X}', B: '${'}, target: '${Y?}'}"),
        &[
            "compose.yaml:1:36: services.web.build.args.A: required variable X is missing a value: say ",
            "  help: set X in 'env:' of the step or in the project's .env file",
            "compose.yaml:1:55: services.web.build.args.B: invalid variable in '${'",
            "  help: write '$$' for a literal dollar sign, '${NAME}' for a variable",
            "compose.yaml:1:70: services.web.build.target: required variable Y is missing a value",
            "  help: set Y in 'env:' of the step or in the project's .env file",
        ],
    );
    fails(
        &build(".").with(".env", "A=1\nB='x\n"),
        &[".env:2: unterminated quoted value", "  help: add the closing quote"],
    );
    fails(
        &build(".").variable("COMPOSE_PROJECT_NAME", "Watch Party"),
        &[
            "COMPOSE_PROJECT_NAME: invalid project name 'Watch Party'",
            "  help: set COMPOSE_PROJECT_NAME or 'name:' to lower case letters, digits, '-' and '_', starting with a letter or digit",
        ],
    );
}

#[test]
fn extends_and_include() {
    fails(
        &Case::new("services: {a: {extends: b}}\n"),
        &[
            "compose.yaml:1:25: services.a.extends: service 'b' is not defined in 'compose.yaml'",
            "  help: existing services: a",
        ],
    );
    fails(
        &Case::new("services: {a: {extends: {service: a, file: o.yaml}}}\n").with("o.yaml", "services: {b: {}}\n"),
        &[
            "compose.yaml:1:25: services.a.extends: service 'a' is not defined in 'o.yaml'",
            "  help: existing services: b",
        ],
    );
    fails(
        &Case::new("services: {a: {extends: {file: x, sevice: y}}}\n"),
        &[
            "compose.yaml:1:35: services.a.extends: unknown key 'sevice'",
            "  help: did you mean 'service'?",
            "compose.yaml:1:25: services.a.extends: 'service' is missing",
            "  help: add service",
        ],
    );
    fails(
        &Case::new("services: {a: {extends: a}}\n"),
        &[
            "compose.yaml:1:25: services.a.extends: extends cycle: a (compose.yaml) -> a (compose.yaml)",
            "  help: remove one 'extends' of the cycle",
        ],
    );
    let include = Case::new("include: [sub/a.yaml]\nservices: {}\n").with("sub/a.yaml", "include: [../compose.yaml]\n");
    fails(
        &include,
        &[
            "sub/a.yaml:1:11: include[0]: include cycle: compose.yaml -> sub/a.yaml -> compose.yaml",
            "  help: remove one 'include' of the cycle",
        ],
    );
    fails(
        &Case::new("include: ['oci://docker.io/org/app']\nservices: {}\n"),
        &[
            "compose.yaml:1:11: include[0]: a Compose file of another machine ('oci://docker.io/org/app') cannot be served",
            "  help: check it out into the workspace and name the local file",
        ],
    );
}

#[test]
fn names() {
    fails(
        &build("{tags: [App, 'watchparty-cache/x'], cache_from: ['watchparty-cache/x', 'type=,x']}"),
        &[
            "compose.yaml:1:33: services.web.build.tags[0]: invalid image name 'App': repository name must be lower case",
            "  help: use lower case letters, digits and '.', '_', '-', '/'; set 'image:' if the name is Compose's default",
            "compose.yaml:1:38: services.web.build.tags[1]: image name 'watchparty-cache/x' lies in the reserved namespace \
         'watchparty-cache/'",
            "  help: choose another name",
            "compose.yaml:1:74: services.web.build.cache_from[0]: image name 'watchparty-cache/x' lies in the reserved namespace \
         'watchparty-cache/'",
            "  help: choose another name",
            "compose.yaml:1:96: services.web.build.cache_from[1]: invalid value 'type=,x': expected an image or 'type=…,key=value,…'",
            "  help: write an image or 'type=…,key=value,…', and check the variables used here",
        ],
    );
    fails(
        &Case::new("services: {Web: {build: .}}\n"),
        &[
            "compose.yaml:1:25: services.Web: invalid image name 'demo-Web': repository name must be lower case",
            "  help: use lower case letters, digits and '.', '_', '-', '/'; set 'image:' if the name is Compose's default",
        ],
    );
    fails(
        &build("{additional_contexts: {a: 'docker-image://watchparty-cache/x'}}"),
        &[
            "compose.yaml:1:51: services.web.build.additional_contexts.a: image name 'watchparty-cache/x' lies in the reserved \
         namespace 'watchparty-cache/'",
            "  help: choose another name",
        ],
    );
}

#[test]
fn what_cannot_be_served() {
    fails(
        &build("{isolation: hyperv, context: 'service:x', additional_contexts: {o: 'oci-layout://x'}, ssh: [default]}"),
        &[
            "compose.yaml:1:37: services.web.build.isolation: isolation 'hyperv', which only Windows engines have, cannot be served",
            "  help: remove the key or set it to 'default'",
            "compose.yaml:1:54: services.web.build.context: context 'service:x' cannot be served",
            "  help: use a directory or a Git or HTTP(S) URL; other sources go into 'additional_contexts'",
            "compose.yaml:1:92: services.web.build.additional_contexts.o: context 'oci-layout://x' cannot be served",
            "  help: use a directory, 'docker-image://…', 'service:…', or a Git or HTTP(S) URL",
            "compose.yaml:1:117: services.web.build.ssh.default: the SSH agent, as SSH_AUTH_SOCK is not set, cannot be served",
            "  help: start an agent before this step, or write 'default=path/to/key'",
        ],
    );
    let external = "services: {web: {build: {secrets: [s]}}}\nsecrets: {s: {external: true}}\n";
    fails(
        &Case::new(external),
        &[
            "compose.yaml:1:36: services.web.build.secrets[0].source: external secret 's', which no engine holds outside of a \
         swarm, cannot be served",
            "  help: define it with 'file:' or 'environment:'",
        ],
    );
}

#[test]
fn references() {
    fails(
        &build("{secrets: [s], additional_contexts: {a: 'service:x'}}"),
        &[
            "compose.yaml:1:65: services.web.build.additional_contexts.a: service 'x' is not defined",
            "  help: existing services: web",
            "compose.yaml:1:36: services.web.build.secrets[0].source: secret 's' is not defined",
            "  help: define it under 'secrets:'; there is no secret yet",
        ],
    );
    fails(
        &Case::new("services: {a: {build: {additional_contexts: {b: 'service:b'}}}, b: {image: x}}\n"),
        &[
            "compose.yaml:1:49: services.a.build.additional_contexts.b: service 'b' has no build section",
            "  help: give 'b' a 'build:' section, or use 'docker-image://' instead",
        ],
    );
    fails(
        &Case::new(
            "services:\n  a: {build: {additional_contexts: {b: 'service:b'}}}\n  b: {build: {additional_contexts: {a: 'service:a'}}}\n",
        ),
        &[
            "compose.yaml:3:40: services.b.build.additional_contexts: additional_contexts cycle: a -> b -> a",
            "  help: remove one 'additional_contexts' of the cycle",
        ],
    );
}

#[test]
fn values() {
    fails(
        &build("{extra_hosts: [x, 'a=b'], shm_size: 5x, ulimits: {A: 1, b: x, c: {soft: 1}}, entitlements: [all]}"),
        &[
            "compose.yaml:1:40: services.web.build.extra_hosts[0]: invalid value 'x': expected 'host=address', the address an IP \
         address or 'host-gateway'",
            "  help: write 'host=address', the address an IP address or 'host-gateway', and check the variables used here",
            "compose.yaml:1:43: services.web.build.extra_hosts[1]: invalid value 'a=b': expected 'host=address', the address an \
         IP address or 'host-gateway'",
            "  help: write 'host=address', the address an IP address or 'host-gateway', and check the variables used here",
            "compose.yaml:1:61: services.web.build.shm_size: invalid value '5x': expected a size in bytes, or with a unit as in \
         '64m'",
            "  help: write a size in bytes, or with a unit as in '64m', and check the variables used here",
            "compose.yaml:1:75: services.web.build.ulimits.A: invalid value 'A': expected a ulimit's name in lower case",
            "  help: write a ulimit's name in lower case, and check the variables used here",
            "compose.yaml:1:84: services.web.build.ulimits.b: invalid value 'x': expected a whole number, -1 for no limit",
            "  help: write a whole number, -1 for no limit, and check the variables used here",
            "compose.yaml:1:90: services.web.build.ulimits.c: 'hard' is missing",
            "  help: add hard",
            "compose.yaml:1:117: services.web.build.entitlements[0]: invalid value 'all': expected 'network.host', \
         'security.insecure' or 'device'",
            "  help: write 'network.host', 'security.insecure' or 'device', and check the variables used here",
        ],
    );
    fails(
        &Case::new("services: {a: {platform: linux/arm64, build: {platforms: [linux/amd64]}}}\n"),
        &[
            "compose.yaml:1:58: services.a.build.platforms: platform 'linux/arm64', set by 'platform', is not in build.platforms",
            "  help: add 'linux/arm64' to build.platforms",
        ],
    );
    fails(
        &build("{tags: [a]}").and_file("b.yaml", "services: {web: {build: {tags: {a: b}}}}\n"),
        &[
            "b.yaml:1:32: services.web.build.tags: cannot merge a mapping into a list",
            "  help: use the same form in both files, or tag the later one with '!override'",
        ],
    );
}
