//! The one declaration of every input: the parser, the command line and `action.yml` all follow from it.

/// What one input is called, takes and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Its name, as in `with:` and, after `--`, on the command line.
    pub name: &'static str,
    /// Its default as `action.yml` states it; unset if absent.
    pub default: Option<&'static str>,
    /// One line for a person who has never seen it.
    pub description: &'static str,
    /// How its text is read.
    pub kind: Kind,
    /// The modes that it has a meaning in.
    pub modes: Modes,
    /// Whether this release can do what it asks.
    pub status: Status,
}

/// How the text of an input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One value.
    Text,
    /// `true` or `false`, in the three spellings of YAML 1.2 that the runner's toolkit takes.
    Boolean,
    /// A list; newlines and commas separate its entries.
    List,
    /// A list; only newlines separate its entries, because a comma is part of them.
    Lines,
    /// Like `Lines`, for `NAME=value` entries whose values are not shown.
    Assignments,
    /// Like `Lines`, but never trimmed and never shown.
    SecretLines,
    /// One value that is never shown.
    Secret,
}

/// The modes that an input has a meaning in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// `mode: build` alone.
    Build,
    /// `mode: clear` alone.
    Clear,
    /// Both.
    Both,
}

/// Whether an input does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Works,
    /// Setting it is an error: better than to ignore it in silence.
    Refused {
        /// Values that ask for what happens anyway, and are therefore let through.
        harmless: &'static [&'static str],
        /// Why it cannot be done.
        why: &'static str,
        /// What to do instead.
        way_out: &'static str,
    },
}

impl Input {
    /// The default that the parser falls back on: an expression of the workflow language means "unset" off the runner.
    pub fn fallback(&self) -> Option<&'static str> {
        self.default.filter(|default| !default.starts_with("${{"))
    }

    /// The variable that the runner puts the value into: upper case, blanks as `_`, dashes kept.
    pub fn variable(&self) -> String {
        format!("INPUT_{}", self.name.to_uppercase().replace(' ', "_"))
    }

    /// Whether its value must never be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::SecretLines)
    }

    const fn new(name: &'static str, kind: Kind, modes: Modes, description: &'static str) -> Self {
        Self { name, default: None, description, kind, modes, status: Status::Works }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn refused(self, why: &'static str, way_out: &'static str) -> Self {
        self.refused_unless(&[], why, way_out)
    }

    const fn refused_unless(self, harmless: &'static [&'static str], why: &'static str, way_out: &'static str) -> Self {
        Self { status: Status::Refused { harmless, why, way_out }, ..self }
    }
}

/// The input called `name`.
pub fn find(name: &str) -> Option<&'static Input> {
    ALL.iter().find(|input| input.name == name)
}

macro_rules! declare {
    ($($constant:ident = $input:expr;)*) => {
        $(pub(super) const $constant: Input = $input;)*

        /// Every input, in the order of `action.yml`.
        pub const ALL: &[Input] = &[$($constant),*];
    };
}

use Kind::{Assignments, Boolean, Lines, List, Secret, SecretLines, Text};
use Modes::{Both, Build, Clear};

const FALSE: &[&str] = &["false"];

declare! {
    MODE = Input::new("mode", Text, Both, "What to do: `build` images, or `clear` the caches.").default("build");
    COMPOSE_FILE = Input::new("compose-file", List, Both,
        "Compose files, merged in order; every service with `build:` is built. Relative to the workspace.");
    SERVICES = Input::new("services", List, Both, "Which services of the Compose files; all that have `build:` if unset.");
    CONTEXT = Input::new("context", Text, Build,
        "Without `compose-file`: the build context, a directory relative to the workspace or a Git or HTTP URL; `.` if unset.");
    FILE = Input::new("file", Text, Build,
        "Without `compose-file`: the Dockerfile, relative to the workspace; `{context}/Dockerfile` if unset.");
    TARGET = Input::new("target", Text, Build, "Without `compose-file`: the stage to build; the last one if unset.");
    TAGS = Input::new("tags", List, Both,
        "Without `compose-file`: names for the image; with `mode: clear`, the images to remove if `images` is unset.");
    BUILD_ARGS = Input::new("build-args", Assignments, Build,
        "Build arguments, one `NAME=value` a line; a bare `NAME` takes the value of the environment variable.");
    SECRETS = Input::new("secrets", SecretLines, Build,
        "Secrets for `RUN --mount=type=secret`, one `id=value` a line; quote an entry that spans several lines.");
    SECRET_FILES = Input::new("secret-files", Lines, Build, "Secrets read from files, one `id=path` a line.");
    SECRET_ENVS = Input::new("secret-envs", List, Build, "Secrets read from environment variables, as `id=VARIABLE`.");
    SSH = Input::new("ssh", Lines, Build,
        "SSH agents or keys for `RUN --mount=type=ssh`: `default`, or `id=path[,path]` with paths that the container sees.");
    BUILD_CONTEXTS = Input::new("build-contexts", Lines, Build,
        "Additional build contexts, one `name=value` a line: a directory, a Git or HTTP URL, or `docker-image://…`.");
    LABELS = Input::new("labels", Lines, Build, "Image labels, one `key=value` a line.");
    ANNOTATIONS = Input::new("annotations", Lines, Build,
        "OCI annotations, one `[type:]key=value` a line; only the containerd image store keeps them.");
    PLATFORMS = Input::new("platforms", List, Build,
        "Platforms to build for, as `linux/amd64`; more than one needs the containerd image store.");
    NETWORK = Input::new("network", Text, Build, "Network of `RUN` steps: `default`, `none` or `host`.");
    ADD_HOSTS = Input::new("add-hosts", List, Build, "Extra hosts for `RUN` steps, as `host:ip` or `host=ip`.");
    SHM_SIZE = Input::new("shm-size", Text, Build, "Size of `/dev/shm` in `RUN` steps, as `64m` or `2g`.");
    ULIMIT = Input::new("ulimit", Lines, Build, "Resource limits of `RUN` steps, one `name=soft[:hard]` a line.");
    ALLOW = Input::new("allow", List, Build, "Extra entitlements of the build: `network.host`, `security.insecure`, `device`.");
    PULL = Input::new("pull", Boolean, Build, "Look base images up in their registry even if the engine has them.")
        .default("false");
    NO_CACHE = Input::new("no-cache", Boolean, Build, "Take no step from a cache.").default("false");
    NO_CACHE_FILTERS = Input::new("no-cache-filters", List, Build, "Stages whose steps are not taken from a cache.");
    PROVENANCE = Input::new("provenance", Text, Build,
        "Provenance attestation: `true`, `false` or attributes as `mode=max`; none if unset.");
    SBOM = Input::new("sbom", Text, Build, "SBOM attestation: `true`, `false` or attributes; none if unset.");
    PUSH = Input::new("push", Boolean, Build, "Push every tag after the build, once all images are built.").default("false");
    CACHE_FROM = Input::new("cache-from", Lines, Build,
        "Images to use as cache, local or in a registry, or `type=…` for BuildKit; Compose's `cache_from`, else the first tag, if unset.");
    CACHE_TO = Input::new("cache-to", Lines, Both,
        "Where to keep the cache for other runners: `repo:tag` writes and reads the tag `<tag>-cache`; `type=…` is for BuildKit.");
    CACHE_KEY = Input::new("cache-key", Text, Build,
        "Identity of the image cache; the first tag's repository with the target and platform if unset. Tags may differ.");
    CACHE_MAX_AGE = Input::new("cache-max-age", Text, Build,
        "Steps that were made longer ago are not taken from previous images, as `7d` or `12h`; no limit if unset.");
    CACHE_STAGES = Input::new("cache-stages", Boolean, Build,
        "Keep intermediate stages as images of `watchparty-cache/stage`, so that they are a cache as well.")
        .default("true");
    REMOVE_SUPERSEDED = Input::new("remove-superseded", Boolean, Build,
        "Remove what earlier builds of this action left without a name, if nothing uses it.")
        .default("true");
    COMPRESSION = Input::new("compression", Text, Build,
        "Layer compression: `uncompressed`, `gzip`, `zstd`; `auto` compresses only what names a registry or is pushed.")
        .default("auto");
    COMMIT_ARG = Input::new("commit-arg", Text, Build,
        "The build argument that carries the commit; passed only to Dockerfiles that declare it.")
        .default("GIT_COMMIT_HASH");
    COMMIT = Input::new("commit", Text, Build, "The commit to pass in `commit-arg`; the head commit of the event if unset.");
    BUILDER = Input::new("builder", Text, Both,
        "`buildkit`, `classic`, or a BuildKit daemon's address: `tcp://host:1234[,cacert=…,cert=…,key=…]`, `unix:///path`; `auto` takes BuildKit where the engine has it.")
        .default("auto");
    REGISTRY_AUTH = Input::new("registry-auth", Secret, Both,
        "Registry credentials: `host user password` lines, or a `config.json` (path or text). A container action does not see `docker login`.");
    IMAGES = Input::new("images", List, Clear,
        "For `mode: clear`: patterns of the images to remove; the project's own if unset. Also `registry=…`, `package=…`, `actions-cache=…`.");
    SCOPE = Input::new("scope", List, Clear,
        "For `mode: clear`: any of `images`, `builder`, `builders`, `registry`, `packages`, `actions-cache`.")
        .default("images, builder");
    KEEP = Input::new("keep", List, Clear,
        "For `mode: clear`: patterns of images that are never removed, besides those in use.");
    DRY_RUN = Input::new("dry-run", Boolean, Clear, "For `mode: clear`: say what would go, remove nothing.").default("false");
    GITHUB_TOKEN = Input::new("github-token", Secret, Both, "Token for the GitHub API; the job's own if unset. What is not permitted is left out, and said.")
        .default("${{ github.token }}");
    REPORT = Input::new("report", List, Both,
        "Where to report: any of `summary`, `check`, `comment`, `annotations`; or `none`. Failed steps are annotated with `check` as well.")
        .default("summary, check");
    FAIL_IF_SLOWER = Input::new("fail-if-slower", Text, Build,
        "Fail (exit status 5) if slower than the baseline by more than both limits, as `25% and 30s`; never if unset.");
    FAIL_IF_STALE = Input::new("fail-if-stale", Boolean, Build,
        "Fail if the first build after a clear takes any step from a cache.")
        .default("false");
    OUTPUTS = Input::new("outputs", Lines, Build, "Not supported: the image always goes into the engine.")
        .refused("the image always goes into the engine, and nowhere else",
            "leave it unset; `docker save` or `docker cp` in a later step exports it");
    LOAD = Input::new("load", Boolean, Build, "Not supported: the image is always loaded into the engine.")
        .default("false")
        .refused_unless(FALSE, "the image is always loaded into the engine", "leave it unset");
    CALL = Input::new("call", Text, Build, "Not supported: only builds are run.")
        .refused_unless(&["build"], "only builds are run, no other frontend method",
            "leave it unset; `docker build --call` in a step of its own does it");
    ATTESTS = Input::new("attests", Lines, Build, "Not supported: use `provenance` and `sbom`.")
        .refused("attestations are asked for one by one", "leave it unset; use `provenance` and `sbom`");
    CGROUP_PARENT = Input::new("cgroup-parent", Text, Build, "Not supported: limit the engine instead.")
        .refused("the parent cgroup of build steps cannot be chosen",
            "leave it unset; set `cgroup-parent` in the configuration of the engine");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ALL, Kind, Status, find};

    #[test]
    fn names_are_unique_and_valid() {
        let names: BTreeSet<_> = ALL.iter().map(|input| input.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !name.starts_with('-'), "{name}");
        }
    }

    #[test]
    fn descriptions_are_one_sentence_line() {
        for input in ALL {
            let text = input.description;
            assert!(
                !text.contains('\n') && text.ends_with('.') && text.chars().count() <= 160,
                "{}: {text}",
                input.name
            );
        }
    }

    #[test]
    fn defaults_are_never_refused() {
        for input in ALL {
            if let (Status::Refused { harmless, .. }, Some(default)) = (input.status, input.default) {
                assert!(harmless.contains(&default), "{} refuses its own default", input.name);
            }
        }
    }

    #[test]
    fn booleans_have_a_default() {
        for input in ALL {
            assert_eq!(input.kind == Kind::Boolean, matches!(input.default, Some("true" | "false")), "{}", input.name);
        }
    }

    #[test]
    fn variables_are_those_of_the_runner() {
        assert_eq!(find("compose-file").map(super::Input::variable), Some("INPUT_COMPOSE-FILE".to_owned()));
        assert_eq!(find("github-token").and_then(super::Input::fallback), None);
    }
}
