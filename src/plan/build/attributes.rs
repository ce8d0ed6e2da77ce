//! A target in BuildKit's own terms: the attributes of the Dockerfile frontend and of the exporter.
//!
//! The attributes are those of `frontend/dockerui/config.go`; that buildx sends the same ones is what makes images
//! built by either equal.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Destination, Facts, How, Local, LocalSource, PlanError, Wanted};
use crate::buildkit::solve::{CacheEntry, Exporter, SolveRequest};
use crate::inputs::Compression;
use crate::project::target::{CacheOption, CacheSource, Context, Dockerfile, NamedContext, NoCache, Target};

/// The capability that a frontend must have to read named contexts, as buildx asks for it.
const NAMED_CONTEXTS_CAP: &str = "moby.buildkit.frontend.contexts+forward";

/// Collects the attributes of one target, and every problem on the way.
struct Writer<'a> {
    target: &'a Target,
    facts: &'a Facts,
    attributes: BTreeMap<String, String>,
    entitlements: Vec<String>,
    locals: Vec<Local>,
    problems: Vec<PlanError>,
}

/// The request for one target. `targets` are all targets of the run.
pub(super) fn request(
    target: &Target,
    targets: &[Target],
    wanted: &Wanted,
    facts: &Facts,
    warnings: &mut Vec<String>,
) -> Result<How, Vec<PlanError>> {
    let mut writer = Writer {
        target,
        facts,
        attributes: BTreeMap::new(),
        entitlements: target.entitlements.clone(),
        locals: Vec::new(),
        problems: Vec::new(),
    };
    writer.sources();
    writer.named_contexts(targets, &wanted.key);
    writer.values();
    writer.run_options();
    writer.attestations();
    writer.destination();
    if !target.annotations.is_empty() && !facts.containerd_store {
        warnings.push(format!(
            "{}: annotations stand in an image's manifest, which this engine's image store does not keep; they are lost",
            target.name
        ));
    }
    if !facts.run_limits && (target.shm_size.is_some() || !target.ulimits.is_empty()) {
        warnings.push(format!(
            "{}: shm-size and ulimit are not obeyed by the BuildKit of this engine; Docker 23.0 and newer do, and so does \
             `builder: classic`",
            target.name
        ));
    }
    if matches!(wanted.compression, Compression::Gzip | Compression::Zstd) && !facts.containerd_store {
        warnings.push(format!(
            "{}: this engine's image store keeps layers unpacked; compression does nothing",
            target.name
        ));
    }
    let exporter = exporter(target, wanted, facts);
    let shared_key = shared_key(&wanted.key, &target.context);
    let frontend = writer.frontend();
    if !writer.problems.is_empty() {
        return Err(writer.problems);
    }
    let request = SolveRequest {
        frontend,
        attributes: writer.attributes,
        exporter: Some(exporter),
        cache_imports: target.cache_from.iter().map(cache_import).collect(),
        cache_exports: cache_exports(target),
        entitlements: writer.entitlements,
        internal: false,
    };
    Ok(How::BuildKit { request: Box::new(request), locals: writer.locals, shared_key })
}

impl Writer<'_> {
    fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.attributes.insert(key.into(), value.into());
    }

    fn unsupported(&mut self, what: &'static str, why: impl Into<String>, help: &'static str) {
        let target = self.target.name.clone();
        self.problems.push(PlanError::Unsupported { target, what, why: why.into(), help });
    }

    fn local(&mut self, name: &str, source: LocalSource) {
        self.locals.push(Local { name: name.to_owned(), source });
    }

    /// The context and the Dockerfile.
    fn sources(&mut self) {
        match &self.target.context {
            Context::Local(path) => self.local("context", LocalSource::Directory(path.clone())),
            Context::Remote(url) => self.set("context", url),
        }
        match &self.target.dockerfile {
            Dockerfile::File(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let directory = path.parent().unwrap_or_else(|| Path::new("/")).to_owned();
                self.set("filename", &name);
                self.local("dockerfile", LocalSource::Dockerfile { directory, name });
                if matches!(self.target.context, Context::Remote(_)) {
                    self.set("dockerfilekey", "dockerfile");
                }
            }
            Dockerfile::Inline(content) => {
                self.set("filename", "Dockerfile");
                self.set("dockerfilekey", "dockerfile");
                let (name, content) = ("Dockerfile".to_owned(), content.clone());
                self.local("dockerfile", LocalSource::Inline { name, content });
            }
            Dockerfile::InContext(path) => self.set("filename", path),
        }
    }

    fn named_contexts(&mut self, targets: &[Target], key: &str) {
        if self.target.named_contexts.is_empty() {
            return;
        }
        if !self.facts.named_contexts {
            let why = "need the BuildKit of Docker 23.0 or newer";
            self.unsupported("build-contexts", why, "update the engine, or copy from an image instead");
            return;
        }
        self.set("frontend.caps", NAMED_CONTEXTS_CAP);
        for (name, source) in &self.target.named_contexts {
            match source {
                NamedContext::Remote(url) => self.set(format!("context:{name}"), url),
                NamedContext::Local(path) => {
                    // The two names that BuildKit keeps for itself get an underscore, as in buildx.
                    let taken = matches!(name.as_str(), "context" | "dockerfile");
                    let local = if taken { format!("_{name}") } else { name.clone() };
                    self.set(format!("context:{name}"), format!("local:{local}"));
                    self.set(format!("sharedkey:localdir:{name}"), key_of(key, path));
                    self.local(&local, LocalSource::Directory(path.clone()));
                }
                NamedContext::Target(other) => {
                    let tag = targets.iter().find(|t| t.name == *other).and_then(|t| t.tags.first());
                    match tag {
                        Some(tag) => self.set(format!("context:{name}"), format!("docker-image://{tag}")),
                        None => self.problems.push(PlanError::Invalid {
                            target: self.target.name.clone(),
                            what: "the named context of service",
                            value: other.clone(),
                            why: "names nothing that is built in this run",
                        }),
                    }
                }
            }
        }
    }

    /// Arguments, labels, the stage, caching, platforms.
    fn values(&mut self) {
        let target = self.target;
        for (name, value) in &target.build_args {
            self.set(format!("build-arg:{name}"), value);
        }
        for (name, value) in &target.labels {
            self.set(format!("label:{name}"), value);
        }
        if let Some(stage) = &target.stage {
            self.set("target", stage);
        }
        match &target.no_cache {
            NoCache::Off => {}
            NoCache::All => self.set("no-cache", ""),
            NoCache::Stages(stages) => self.set("no-cache", stages.join(",")),
        }
        match (target.pull, self.facts.destination) {
            (true, _) => self.set("image-resolve-mode", "pull"),
            // Unset, the containerd image store asks the registry first, even for an image that it has.
            (false, Destination::Store) => self.set("image-resolve-mode", "local"),
            (false, Destination::Archive) => {}
        }
        if target.platforms.len() > 1 && !self.facts.containerd_store && self.facts.destination == Destination::Store {
            let why = format!(
                "{} need the containerd image store; this engine has a graph driver",
                target.platforms.join(", ")
            );
            self.unsupported(
                "platforms",
                why,
                "build one platform, or switch the engine to the containerd image store",
            );
        } else if !target.platforms.is_empty() {
            self.set("platform", target.platforms.join(","));
        }
    }

    /// What applies to every `RUN`.
    fn run_options(&mut self) {
        let target = self.target;
        match target.network.as_deref() {
            None | Some("default" | "") => {}
            Some("none") => self.set("force-network-mode", "none"),
            Some("host") => {
                self.set("force-network-mode", "host");
                self.entitlements.push("network.host".to_owned());
            }
            Some(other) => self.problems.push(PlanError::Invalid {
                target: target.name.clone(),
                what: "network",
                value: other.to_owned(),
                why: "is not known to BuildKit: it has default, none and host",
            }),
        }
        let hosts: Vec<String> =
            target.extra_hosts.iter().filter_map(|(host, address)| self.host(host, address)).collect();
        if !hosts.is_empty() {
            self.set("add-hosts", hosts.join(","));
        }
        if let Some(bytes) = target.shm_size.filter(|bytes| *bytes > 0) {
            self.set("shm-size", bytes.to_string());
        }
        if !target.ulimits.is_empty() {
            self.set("ulimit", target.ulimits.join(","));
        }
        self.entitlements.sort();
        self.entitlements.dedup();
    }

    fn host(&mut self, host: &str, address: &str) -> Option<String> {
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if address != "host-gateway" {
            return Some(format!("{host}={address}"));
        }
        match &self.facts.host_gateway {
            Some(gateway) => Some(format!("{host}={gateway}")),
            None => {
                let why = "uses host-gateway, and this engine does not tell the address";
                self.unsupported("add-hosts", why, "write the host's address instead of host-gateway");
                None
            }
        }
    }

    fn attestations(&mut self) {
        let target = self.target;
        for (what, value) in [("provenance", &target.provenance), ("sbom", &target.sbom)] {
            let Some(value) = value.as_deref().and_then(attestation) else { continue };
            if self.facts.destination == Destination::Archive {
                let why =
                    "cannot be loaded into an engine: the builder's archive holds an image without manifest lists";
                self.unsupported(what, why, "leave it unset, or leave `builder` unset");
            } else if self.facts.containerd_store {
                self.set(format!("attest:{what}"), value);
            } else {
                let why = "needs the containerd image store; this engine has a graph driver";
                self.unsupported(what, why, "leave it unset, or switch the engine to the containerd image store");
            }
        }
    }

    /// What comes as an archive is one image, and nothing that the engine has is at the builder.
    fn destination(&mut self) {
        if self.facts.destination == Destination::Store {
            return;
        }
        let target = self.target;
        if target.platforms.len() > 1 {
            // `exporter/oci/export.go`: "docker exporter does not currently support exporting manifest lists".
            let why = format!(
                "{} cannot be loaded into an engine: the builder's docker exporter does not support manifest lists",
                target.platforms.join(", ")
            );
            self.unsupported("platforms", why, "build one platform");
        }
        if !target.after.is_empty() {
            let why = format!("{} is built in this run, and a remote builder does not get it", target.after.join(", "));
            self.unsupported(
                "what it stands on,",
                why,
                "leave `builder` unset, or make it a stage of the same Dockerfile",
            );
        }
    }

    /// `BUILDKIT_SYNTAX` names another frontend, as in buildx.
    fn frontend(&mut self) -> String {
        let syntax = self.target.build_args.get("BUILDKIT_SYNTAX").map(|line| line.trim().to_owned());
        match syntax.as_deref().and_then(|line| line.split_whitespace().next()) {
            Some(image) => {
                self.set("source", image);
                self.set("cmdline", syntax.clone().unwrap_or_default());
                "gateway.v0".to_owned()
            }
            None => "dockerfile.v0".to_owned(),
        }
    }
}

/// The attributes of an attestation out of `true`, `false` or `key=value,…`; nothing where it is switched off.
pub(super) fn attestation(value: &str) -> Option<String> {
    match value {
        "" | "false" | "False" | "FALSE" => None,
        "true" | "True" | "TRUE" => Some(String::new()),
        _ if value.split(',').any(|part| part == "disabled=true") => None,
        _ => Some(value.split(',').filter(|part| !part.starts_with("type=")).collect::<Vec<_>>().join(",")),
    }
}

fn exporter(target: &Target, wanted: &Wanted, facts: &Facts) -> Exporter {
    let mut attributes = BTreeMap::new();
    if !target.tags.is_empty() {
        let names: Vec<String> = target.tags.iter().map(crate::image::ImageReference::canonical).collect();
        attributes.insert("name".to_owned(), names.join(","));
    }
    let archive = facts.destination == Destination::Archive;
    // A graph driver stores layers unpacked and takes no compression at all. What has to travel is compressed, as it is by
    // buildx.
    if facts.containerd_store || archive {
        let local = !archive
            && !super::push::is_wanted(target, wanted)
            && !target.tags.iter().any(crate::image::ImageReference::names_registry);
        let kind = match wanted.compression {
            Compression::Auto if local => Some("uncompressed"),
            Compression::Auto => None,
            Compression::Uncompressed => Some("uncompressed"),
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        attributes.extend(kind.map(|kind| ("compression".to_owned(), kind.to_owned())));
    }
    for (key, value) in &target.annotations {
        attributes.extend(annotation_keys(key).into_iter().map(|key| (key, value.clone())));
    }
    let kind = match facts.destination {
        Destination::Store => "moby",
        Destination::Archive => Exporter::ARCHIVE,
    };
    Exporter { kind: kind.to_owned(), attributes }
}

/// `index,manifest[linux/amd64]:key` as exporter keys (`exporter/containerimage/exptypes/annotations.go`).
fn annotation_keys(key: &str) -> Vec<String> {
    let is_types = |types: &&str| {
        types.split(',').all(|kind| {
            let name = kind.split('[').next().unwrap_or_default();
            matches!(name, "manifest" | "index" | "manifest-descriptor" | "index-descriptor")
        })
    };
    match key.split_once(':') {
        Some((types, name)) if is_types(&types) => {
            types.split(',').map(|kind| format!("annotation-{kind}.{name}")).collect()
        }
        _ => vec![format!("annotation.{key}")],
    }
}

fn cache_import(source: &CacheSource) -> CacheEntry {
    match source {
        CacheSource::Image(reference) => CacheEntry {
            kind: "registry".to_owned(),
            attributes: BTreeMap::from([("ref".to_owned(), reference.to_string())]),
        },
        CacheSource::BuildKit(option) => entry(option),
    }
}

fn cache_exports(target: &Target) -> Vec<CacheEntry> {
    let inline = target.build_args.get("BUILDKIT_INLINE_CACHE").is_some_and(|v| matches!(v.as_str(), "1" | "true"));
    let inline = inline.then(|| CacheEntry { kind: "inline".to_owned(), attributes: BTreeMap::new() });
    target.cache_to.iter().map(entry).chain(inline).collect()
}

fn entry(option: &CacheOption) -> CacheEntry {
    CacheEntry { kind: option.kind.clone(), attributes: option.attributes.clone() }
}

fn shared_key(key: &str, context: &Context) -> String {
    match context {
        Context::Local(path) => key_of(key, path),
        Context::Remote(_) => String::new(),
    }
}

/// A directory's name for the builder: the same for the same directory of the same repository, at every run.
fn key_of(key: &str, path: &Path) -> String {
    let digest = Sha256::new().chain_update(key).chain_update([0]).chain_update(path.as_os_str().as_encoded_bytes());
    let hex: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("watchparty-cache-{hex}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Builder, Destination, Facts, How, LocalSource, PlanError, Wanted, plan};
    use super::{annotation_keys, attestation};
    use crate::buildkit::solve::SolveRequest;
    use crate::inputs::Compression;
    use crate::project::target::{Context, Dockerfile, NamedContext, NoCache, Target};

    const GRAPH: Facts = Facts {
        containerd_store: false,
        named_contexts: true,
        run_limits: true,
        host_gateway: None,
        destination: Destination::Store,
    };
    const CONTAINERD: Facts = Facts { containerd_store: true, ..GRAPH };
    const REMOTE: Facts = Facts { destination: Destination::Archive, ..GRAPH };

    fn wanted() -> Wanted {
        Wanted { builder: Builder::BuildKit, compression: Compression::Auto, push: false, key: "org/repo".to_owned() }
    }

    fn target(name: &str) -> Target {
        Target {
            tags: vec![format!("{name}:1").parse().unwrap()],
            ..Target::new(
                name,
                Context::Local(PathBuf::from("/w/app")),
                Dockerfile::File(PathBuf::from("/w/docker/app.Dockerfile")),
            )
        }
    }

    fn solve(target: Target, facts: &Facts) -> SolveRequest {
        match plan(&[target], &[], Vec::new(), &wanted(), facts).unwrap().builds.remove(0).how {
            How::BuildKit { request, .. } => *request,
            How::Classic => unreachable!(),
        }
    }

    #[test]
    fn everything_becomes_an_attribute() {
        let mut target = target("app");
        target.stage = Some("prod".to_owned());
        target.build_args.insert("A".to_owned(), "1".to_owned());
        target.labels.insert("l".to_owned(), "v".to_owned());
        target.no_cache = NoCache::Stages(vec!["a".to_owned(), "b".to_owned()]);
        target.network = Some("host".to_owned());
        target.extra_hosts = vec![("db".to_owned(), "[::1]".to_owned())];
        target.shm_size = Some(65536);
        target.ulimits = vec!["nofile=1024:2048".to_owned(), "nproc=5".to_owned()];
        target.platforms = vec!["linux/amd64".to_owned()];
        target.cache_from = vec![crate::project::target::CacheSource::Image("app".parse().unwrap())];
        let request = solve(target, &GRAPH);
        let text: Vec<String> = request.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            text,
            [
                "add-hosts=db=::1",
                "build-arg:A=1",
                "filename=app.Dockerfile",
                "force-network-mode=host",
                "image-resolve-mode=local",
                "label:l=v",
                "no-cache=a,b",
                "platform=linux/amd64",
                "shm-size=65536",
                "target=prod",
                "ulimit=nofile=1024:2048,nproc=5",
            ]
        );
        assert_eq!(request.entitlements, ["network.host"]);
        assert_eq!(request.cache_imports[0].attributes["ref"], "app:latest");
        assert_eq!(request.exporter.unwrap().attributes["name"], "docker.io/library/app:1");
    }

    #[test]
    fn images_that_stay_local_are_not_compressed() {
        let compression =
            |target: Target, facts: &Facts| solve(target, facts).exporter.unwrap().attributes.remove("compression");
        assert_eq!(compression(target("app"), &CONTAINERD).as_deref(), Some("uncompressed"));
        assert_eq!(compression(target("ghcr.io/org/app"), &CONTAINERD), None);
        assert_eq!(compression(target("app"), &GRAPH), None);
        let pushed = Wanted { push: true, ..wanted() };
        let compression =
            |target: &Target| super::exporter(target, &pushed, &CONTAINERD).attributes.remove("compression");
        assert_eq!(compression(&target("org/app")), None);
        let left_out = Target { default_name: true, ..target("project-app") };
        assert_eq!(compression(&left_out).as_deref(), Some("uncompressed"));
    }

    #[test]
    fn a_remote_builder_is_asked_for_an_archive() {
        let request = solve(target("ghcr.io/org/app"), &REMOTE);
        assert!(!request.attributes.contains_key("image-resolve-mode"), "{:?}", request.attributes);
        let exporter = request.exporter.unwrap();
        assert!(exporter.is_archive() && exporter.attributes.len() == 1, "{exporter:?}");
        assert_eq!(exporter.attributes["name"], "ghcr.io/org/app:1");
        let pulled = Target { pull: true, ..target("app") };
        assert_eq!(solve(pulled, &REMOTE).attributes["image-resolve-mode"], "pull");

        let mut app = target("app");
        app.platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
        app.provenance = Some("true".to_owned());
        let web = Target { after: vec!["app".to_owned()], ..target("web") };
        let errors = plan(&[app, web], &[], Vec::new(), &wanted(), &REMOTE).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "build app: provenance cannot be loaded into an engine: the builder's archive holds an image without \
                 manifest lists",
                "build app: platforms linux/amd64, linux/arm64 cannot be loaded into an engine: the builder's docker \
                 exporter does not support manifest lists",
                "build web: what it stands on, app is built in this run, and a remote builder does not get it",
            ]
        );
    }

    #[test]
    fn a_named_context_can_be_another_targets_image() {
        let mut web = target("web");
        web.named_contexts.insert("base".to_owned(), NamedContext::Target("app".to_owned()));
        web.named_contexts.insert("context".to_owned(), NamedContext::Local(PathBuf::from("/w/other")));
        web.after = vec!["app".to_owned()];
        let plan = plan(&[web.clone(), target("app")], &[], Vec::new(), &wanted(), &GRAPH).unwrap();
        assert_eq!(plan.builds[0].after, [1]);
        let How::BuildKit { request, locals, .. } = &plan.builds[0].how else { unreachable!() };
        assert_eq!(request.attributes["context:base"], "docker-image://app:1");
        assert_eq!(request.attributes["context:context"], "local:_context");
        let served = LocalSource::Directory(PathBuf::from("/w/other"));
        assert!(locals.iter().any(|local| local.name == "_context" && local.source == served));
        assert_eq!(plan.to_string(), "build web as web:1, after app\nbuild app as app:1\n");

        let old = Facts { named_contexts: false, ..GRAPH };
        let errors = super::super::plan(&[web], &[], Vec::new(), &wanted(), &old).unwrap_err();
        assert!(matches!(errors[0], PlanError::Unsupported { what: "build-contexts", .. }));
    }

    #[test]
    fn what_the_engine_cannot_do_is_refused_all_at_once() {
        let mut app = target("app");
        app.platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
        app.sbom = Some("true".to_owned());
        app.network = Some("bridge".to_owned());
        app.extra_hosts = vec![("h".to_owned(), "host-gateway".to_owned())];
        let errors = plan(&[app], &[], Vec::new(), &wanted(), &GRAPH).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "build app: platforms linux/amd64, linux/arm64 need the containerd image store; this engine has a graph driver",
                "build app: network 'bridge' is not known to BuildKit: it has default, none and host",
                "build app: add-hosts uses host-gateway, and this engine does not tell the address",
                "build app: sbom needs the containerd image store; this engine has a graph driver",
            ]
        );
    }

    #[test]
    fn attestations_and_annotations_as_buildx_reads_them() {
        assert_eq!(attestation("false"), None);
        assert_eq!(attestation("true").as_deref(), Some(""));
        assert_eq!(attestation("type=provenance,mode=max").as_deref(), Some("mode=max"));
        assert_eq!(attestation("mode=max,disabled=true"), None);
        assert_eq!(annotation_keys("org.opencontainers.image.title"), ["annotation.org.opencontainers.image.title"]);
        assert_eq!(
            annotation_keys("index,manifest[linux/amd64]:a.b"),
            ["annotation-index.a.b", "annotation-manifest[linux/amd64].a.b"]
        );
        assert_eq!(annotation_keys("urn:x"), ["annotation.urn:x"]);
    }

    #[test]
    fn directories_of_different_repositories_have_different_keys() {
        let key = |key: &str| super::key_of(key, std::path::Path::new("/github/workspace"));
        assert_eq!(key("org/a"), key("org/a"));
        assert_ne!(key("org/a"), key("org/b"));
    }
}
