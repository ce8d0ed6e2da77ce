//! What GitHub stores: container packages with their manifests, and caches of Actions.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::contract::Call;
use super::state::Answer;

/// GitHub's words when all tagged versions of a package would be gone, with status 400.
const LAST: &str = "You cannot delete the last tagged version of a package. You must delete the package instead.";

#[derive(Default)]
pub(crate) struct Storage {
    last_id: u64,
    /// By `owner/name`.
    pub(crate) packages: BTreeMap<String, Package>,
    /// The oldest first.
    pub(crate) caches: Vec<Cache>,
}

pub(crate) struct Package {
    /// Whether a person owns it, and no organisation.
    pub(crate) of_person: bool,
    /// Whether the repository has the role Admin on it.
    pub(crate) is_admin: bool,
    /// So many versions are counted and not listed.
    pub(crate) unlisted: usize,
    /// Whether something is pushed at every look.
    pub(crate) restless: bool,
    /// Digests of which somebody pushes an index, `pushed`, as soon as something is removed.
    pub(crate) pushed_at_removal: Option<Vec<String>>,
    /// Before so many more looks at its versions are over, somebody pushes an index, `pushed`, of these.
    pub(crate) pushed_before_look: Option<(usize, Vec<String>)>,
    /// The newest first.
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub(crate) id: u64,
    pub(crate) digest: String,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) updated: DateTime<Utc>,
    /// Its manifest; its digest is that of the text.
    pub(crate) manifest: Value,
    /// Why GitHub does not remove it.
    pub(crate) refusal: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cache {
    pub(crate) id: u64,
    pub(crate) key: String,
    pub(crate) reference: String,
    pub(crate) bytes: u64,
    pub(crate) created: DateTime<Utc>,
}

impl Storage {
    /// A new package, to which the repository has every right.
    pub(crate) fn package(&mut self, name: &str) {
        let package = Package {
            of_person: false,
            is_admin: true,
            unlisted: 0,
            restless: false,
            pushed_at_removal: None,
            pushed_before_look: None,
            versions: Vec::new(),
        };
        self.packages.insert(name.to_owned(), package);
    }

    /// An image with one layer of so many bytes; the digest of its manifest.
    pub(crate) fn image(&mut self, package: &str, tags: &[&str], bytes: u64) -> String {
        self.push(package, tags, &json!({"layers": [self.blob(bytes)]}))
    }

    /// An index of manifests that are there.
    pub(crate) fn index(&mut self, package: &str, tags: &[&str], children: &[&str]) -> String {
        let manifests: Vec<Value> = children
            .iter()
            .map(|digest| json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 7}))
            .collect();
        self.push(package, tags, &json!({"manifests": manifests}))
    }

    /// Something that says which manifest it is about.
    pub(crate) fn about(&mut self, package: &str, tags: &[&str], subject: &str) -> String {
        let subject = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": subject, "size": 7});
        self.push(package, tags, &json!({"layers": [self.blob(10)], "subject": subject}))
    }

    fn blob(&self, bytes: u64) -> Value {
        let digest = format!("sha256:{:064x}", self.last_id + 1);
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": bytes})
    }

    fn push(&mut self, package: &str, tags: &[&str], content: &Value) -> String {
        self.last_id += 1;
        let id = self.last_id;
        let mut manifest = json!({"schemaVersion": 2});
        let is_index = content.get("manifests").is_some();
        manifest["mediaType"] = if is_index {
            "application/vnd.oci.image.index.v1+json"
        } else {
            "application/vnd.oci.image.manifest.v1+json"
        }
        .into();
        if !is_index {
            let digest = format!("sha256:{:064x}", 1_000_000 + id);
            manifest["config"] =
                json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 1});
        }
        manifest.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        let digest: String = Sha256::digest(manifest.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = format!("sha256:{digest}");
        let package = self.packages.get_mut(package).unwrap();
        let tags: BTreeSet<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        package.versions.iter_mut().for_each(|version| version.tags.retain(|tag| !tags.contains(tag)));
        let updated = Utc::now() - TimeDelta::days(10);
        package.versions.insert(0, Version { id, digest: digest.clone(), tags, updated, manifest, refusal: None });
        digest
    }

    /// A version of a package, by its digest.
    pub(crate) fn version(&mut self, package: &str, digest: &str) -> &mut Version {
        let versions = &mut self.packages.get_mut(package).unwrap().versions;
        versions.iter_mut().find(|version| version.digest == digest).unwrap()
    }

    /// The digests that a package has, and no others.
    pub(crate) fn digests(&self, package: &str) -> BTreeSet<String> {
        self.packages[package].versions.iter().map(|version| version.digest.clone()).collect()
    }

    pub(crate) fn cache(&mut self, key: &str, reference: &str, bytes: u64) -> u64 {
        self.last_id += 1;
        let (key, reference) = (key.to_owned(), reference.to_owned());
        self.caches.push(Cache { id: self.last_id, key, reference, bytes, created: Utc::now() - TimeDelta::days(2) });
        self.last_id
    }

    /// What a registry says to a request for this path.
    pub(super) fn manifest(&self, path: &str) -> Option<(String, String)> {
        let (name, digest) = path.strip_prefix("/v2/")?.split_once("/manifests/")?;
        let version = self.packages.get(name)?.versions.iter().find(|version| version.digest == digest)?;
        Some((version.manifest["mediaType"].as_str()?.to_owned(), version.manifest.to_string()))
    }

    pub(super) fn carry_out(&mut self, call: &Call<'_>) -> Option<Answer> {
        let number = |name: &str| call.path[name].parse::<u64>().unwrap();
        Some(match call.id() {
            "actions/get-actions-cache-list" => self.list_caches(call),
            "actions/delete-actions-cache-by-id" => {
                let (before, id) = (self.caches.len(), number("cache_id"));
                self.caches.retain(|cache| cache.id != id);
                if self.caches.len() < before { Answer::new(204, Value::Null) } else { Answer::not_found() }
            }
            id if id.starts_with("packages/") => self.of_package(call),
            _ => return None,
        })
    }

    fn list_caches(&self, call: &Call<'_>) -> Answer {
        assert_eq!((call.query["sort"].as_str(), call.query["direction"].as_str()), ("created_at", "asc"));
        let (key, reference) = (call.query.get("key"), call.query.get("ref"));
        let found = self.caches.iter().filter(|cache| {
            key.is_none_or(|key| cache.key.starts_with(key)) && reference.is_none_or(|it| cache.reference == **it)
        });
        let shown = found.map(|cache| {
            json!({
                "id": cache.id, "ref": cache.reference, "key": cache.key, "version": "v", "size_in_bytes": cache.bytes,
                "last_accessed_at": cache.created, "created_at": cache.created,
            })
        });
        Answer::list(Some("actions_caches"), shown.collect())
    }

    fn of_package(&mut self, call: &Call<'_>) -> Answer {
        assert_eq!(call.path["package_type"], "container");
        let (owner, of_person) = match call.path.get("org") {
            Some(owner) => (owner, false),
            None => (&call.path["username"], true),
        };
        let name = format!("{owner}/{}", call.path["package_name"]);
        let Some(package) = self.packages.get_mut(&name).filter(|package| package.of_person == of_person) else {
            return Answer::new(404, json!({"message": "Package not found."}));
        };
        let Some(id) = call.path.get("package_version_id") else {
            return if call.id().contains("versions") {
                for version in package.versions.iter_mut().filter(|_| package.restless) {
                    version.updated += TimeDelta::seconds(1);
                }
                let pushed = package.pushed_before_look.take().and_then(|(looks, children)| match looks {
                    1 => Some(children),
                    _ => {
                        package.pushed_before_look = Some((looks - 1, children));
                        None
                    }
                });
                if let Some(children) = pushed {
                    self.index(&name, &["pushed"], &children.iter().map(String::as_str).collect::<Vec<_>>());
                }
                let versions = &self.packages[&name].versions;
                Answer::list(None, versions.iter().map(|version| version.shown(&name)).collect())
            } else {
                Answer::new(200, package.shown(&name))
            };
        };
        let id: u64 = id.parse().unwrap();
        let Some(version) = package.versions.iter().find(|version| version.id == id) else {
            return Answer::not_found();
        };
        if !call.id().contains("delete") {
            return Answer::new(200, version.shown(&name));
        }
        if !package.is_admin {
            return Answer::new(404, json!({"message": "Package not found."}));
        }
        if let Some(refusal) = version.refusal {
            return Answer::new(400, json!({"message": refusal}));
        }
        if package.versions.iter().all(|other| other.id == id || other.tags.is_empty() && !version.tags.is_empty()) {
            return Answer::new(400, json!({"message": LAST}));
        }
        package.versions.retain(|version| version.id != id);
        if let Some(children) = package.pushed_at_removal.take() {
            self.index(&name, &["pushed"], &children.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Answer::new(204, Value::Null)
    }
}

impl Package {
    fn shown(&self, name: &str) -> Value {
        let url = format!("https://api.github.com/{name}");
        json!({
            "id": 1, "name": name, "package_type": "container", "url": url, "html_url": url, "visibility": "public",
            "version_count": self.versions.len() + self.unlisted, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        })
    }
}

impl Version {
    fn shown(&self, name: &str) -> Value {
        let url = format!("https://api.github.com/{name}/versions/{}", self.id);
        json!({
            "id": self.id, "name": self.digest, "url": url, "package_html_url": url, "html_url": url,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": self.updated,
            "metadata": {"package_type": "container", "container": {"tags": self.tags}},
        })
    }
}
