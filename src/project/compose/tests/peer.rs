//! The recorded cases of `tests/fixtures/compose`: what `docker compose build --print` says is what we say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::image::ImageReference;
use crate::project::compose::{ComposeErrors, ComposeProject, LoadRequest, load};
use crate::project::target::{
    CacheOption, CacheSource, Context, Dockerfile, NamedContext, NoCache, SecretSource, Target,
};

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(ToOwned::to_owned).collect()
}

fn variables(directory: &Path) -> BTreeMap<String, String> {
    lines(&directory.join("variables"))
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn load_case(directory: &Path) -> Result<ComposeProject, ComposeErrors> {
    let mut files: Vec<PathBuf> = lines(&directory.join("files")).iter().map(|file| directory.join(file)).collect();
    if files.is_empty() {
        files.push(directory.join("compose.yaml"));
    }
    load(&LoadRequest {
        files: &files,
        environment: &variables(directory),
        services: &lines(&directory.join("services")),
        profiles: &lines(&directory.join("profiles")),
        directory_name: directory.file_name().unwrap().to_str().unwrap(),
        working_directory: directory,
    })
}

#[test]
fn agrees_with_docker_compose() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/compose");
    let mut cases: Vec<PathBuf> =
        root.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 75, "the fixtures are not there");
    let mut differences = String::new();
    for case in cases {
        if let Err(difference) = compare(&case) {
            differences.push_str(&format!("{}: {difference}\n", case.display()));
        }
    }
    assert_eq!(differences, "");
}

fn compare(case: &Path) -> Result<(), String> {
    let refused = case.join("expected.error").exists();
    match load_case(case) {
        Err(_) if refused => Ok(()),
        Err(errors) => Err(format!("only we refuse: {errors}")),
        Ok(_) if refused => Err("only docker compose refuses".to_owned()),
        Ok(project) => {
            let recorded = std::fs::read_to_string(case.join("expected.json")).unwrap();
            if recorded.is_empty() {
                // Compose prints nothing when there is nothing to build.
                return if project.targets.is_empty() { Ok(()) } else { Err("only we build something".to_owned()) };
            }
            let recorded = recorded.replace("@DIR@", case.to_str().unwrap());
            let recorded = with_secret_values(&recorded, &variables(case));
            let expected = serde_json::to_string_pretty(&normalise(serde_json::from_str(&recorded).unwrap())).unwrap();
            let found = serde_json::to_string_pretty(&normalise(to_bake(&project))).unwrap();
            let different = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
            different.map_or(Ok(()), |(expected, found)| Err(format!("expected {expected}, found {found}")))
        }
    }
}

/// Compose names the variable of a secret where we hold its value.
fn with_secret_values(recorded: &str, variables: &BTreeMap<String, String>) -> String {
    let name = regex::Regex::new("(,type=env,)env=([A-Z0-9_]+)").unwrap();
    let value = |found: &regex::Captures<'_>| {
        format!("{}value={}", &found[1], variables.get(&found[2]).map_or("", String::as_str))
    };
    name.replace_all(recorded, value).into_owned()
}

/// The definition that Compose hands to buildx, made from ours.
fn to_bake(project: &ComposeProject) -> Value {
    let names: Vec<_> = project.targets.iter().map(|target| target.name.replace('.', "_")).collect();
    let targets: Map<String, Value> = project
        .targets
        .iter()
        .map(|target| (target.name.replace('.', "_"), Value::Object(bake_target(target))))
        .collect();
    json!({"group": {"default": {"targets": names}}, "target": targets})
}

fn bake_target(target: &Target) -> Map<String, Value> {
    let escape = |text: &str| text.replace("${", "$${");
    let mut bake = Map::new();
    let mut put = |key: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(value) => !value,
            Value::Number(_) | Value::String(_) => false,
        };
        if !is_empty {
            bake.insert(key.to_owned(), value);
        }
    };
    put(
        "context",
        match &target.context {
            Context::Local(path) => json!(path),
            Context::Remote(url) => json!(url),
        },
    );
    match &target.dockerfile {
        Dockerfile::File(path) => put("dockerfile", json!(path)),
        Dockerfile::InContext(path) => put("dockerfile", json!(path)),
        Dockerfile::Inline(text) => put("dockerfile-inline", json!(escape(text))),
    }
    let contexts = target.named_contexts.iter().map(|(name, context)| {
        let context = match context {
            NamedContext::Local(path) => json!(path),
            NamedContext::Remote(url) => json!(url),
            NamedContext::Target(target) => json!(format!("target:{target}")),
        };
        (name.clone(), context)
    });
    put("contexts", Value::Object(contexts.collect()));
    put("args", Value::Object(target.build_args.iter().map(|(k, v)| (k.clone(), json!(escape(v)))).collect()));
    put("labels", json!(target.labels));
    put("tags", target.tags.iter().map(|tag| json!(tag.canonical())).collect());
    let cache_from = target.cache_from.iter().map(|source| match source {
        CacheSource::Image(image) => json!({"type": "registry", "ref": image.canonical()}),
        CacheSource::BuildKit(option) => cache_option(option),
    });
    put("cache-from", cache_from.collect());
    put("cache-to", target.cache_to.iter().map(cache_option).collect());
    put("target", json!(target.stage));
    let secrets = target.secrets.iter().map(|secret| match &secret.source {
        SecretSource::Value(value) => json!(format!("id={},type=env,value={}", secret.id, value.expose())),
        SecretSource::File(path) => json!(format!("id={},type=file,src={}", secret.id, path.display())),
    });
    put("secret", secrets.collect());
    let ssh = target.ssh.iter().map(|ssh| {
        let paths: Vec<_> = ssh.paths.iter().map(|path| path.display().to_string()).collect();
        json!(format!("{}={}", ssh.id, paths.join(",")))
    });
    put("ssh", ssh.collect());
    put("platforms", json!(target.platforms));
    put("pull", json!(target.pull));
    put("no-cache", json!(target.no_cache == NoCache::All));
    put("network", json!(target.network));
    put("shm-size", json!(target.shm_size.map(|size| size.to_string())));
    put("ulimits", json!(target.ulimits));
    put("entitlements", json!(target.entitlements));
    let mut hosts: Map<String, Value> = Map::new();
    for (host, address) in &target.extra_hosts {
        let joined = hosts.get(host).and_then(Value::as_str).map(|known| format!("{known},{address}"));
        hosts.insert(host.clone(), json!(joined.unwrap_or_else(|| address.clone())));
    }
    put("extra-hosts", Value::Object(hosts));
    let attest = [("provenance", &target.provenance), ("sbom", &target.sbom)].into_iter().filter_map(
        |(kind, value)| match value.as_deref()? {
            "true" => Some(json!(format!("type={kind}"))),
            "false" => None,
            attributes => Some(json!(format!("type={kind},{attributes}"))),
        },
    );
    put("attest", attest.collect());
    bake
}

fn cache_option(option: &CacheOption) -> Value {
    let mut fields: Map<String, Value> = option.attributes.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    fields.insert("type".to_owned(), json!(option.kind));
    Value::Object(fields)
}

/// Leaves out what says nothing about the model: order of maps and sets, spelling of references, targets that Compose
/// defines but does not build, what it leaves out where a value is the default.
fn normalise(mut bake: Value) -> Value {
    let mut group: Vec<String> = serde_json::from_value(bake["group"]["default"]["targets"].take()).unwrap();
    group.sort();
    let targets: BTreeMap<String, Value> = serde_json::from_value(bake["target"].take()).unwrap();
    let targets: BTreeMap<_, _> = targets
        .into_iter()
        .filter(|(name, _)| group.contains(name))
        .map(|(name, target)| (name, normalise_target(target)))
        .collect();
    json!({"group": group, "target": targets})
}

fn normalise_target(target: Value) -> BTreeMap<String, Value> {
    let mut target: BTreeMap<String, Value> = serde_json::from_value(target).unwrap();
    target.remove("output");
    if !target.contains_key("dockerfile") && !target.contains_key("dockerfile-inline") {
        let context = target.get("context").and_then(Value::as_str).unwrap_or_default();
        target.insert("dockerfile".to_owned(), json!(format!("{context}/Dockerfile")));
    }
    for key in ["args", "labels", "contexts", "extra-hosts"] {
        if let Some(map) = target.get_mut(key) {
            let sorted: BTreeMap<String, Value> = serde_json::from_value(map.take()).unwrap();
            *map = json!(sorted);
        }
    }
    for key in ["ulimits", "entitlements", "tags", "ssh", "secret"] {
        let Some(list) = target.get_mut(key) else { continue };
        let mut items: Vec<String> = serde_json::from_value(list.take()).unwrap();
        if key == "tags" {
            items = items.iter().map(|tag| tag.parse::<ImageReference>().unwrap().canonical()).collect();
        }
        items.sort();
        items.dedup();
        *list = json!(items);
    }
    for key in ["cache-from", "cache-to"] {
        let Some(Value::Array(items)) = target.get_mut(key) else { continue };
        items.retain(|item| item != "");
        for item in items {
            let option: BTreeMap<String, Value> = match item.take() {
                Value::String(text) if !text.contains('=') => {
                    let image = text.parse::<ImageReference>().unwrap().canonical();
                    BTreeMap::from([("type".to_owned(), json!("registry")), ("ref".to_owned(), json!(image))])
                }
                Value::String(text) => text
                    .replace("\"bucket=a,b\"", "bucket=a;b")
                    .split(',')
                    .map(|field| field.split_once('=').unwrap())
                    .map(|(name, value)| (name.to_owned(), json!(value.replace(';', ","))))
                    .collect(),
                other => serde_json::from_value(other).unwrap(),
            };
            *item = json!(option);
        }
    }
    // buildx drops what stands twice, we do so at once.
    for key in ["platforms", "cache-from", "cache-to"] {
        let Some(Value::Array(items)) = target.get_mut(key) else { continue };
        let mut seen = Vec::new();
        items.retain(|item| {
            !seen.contains(item) && {
                seen.push(item.clone());
                true
            }
        });
    }
    target
}
