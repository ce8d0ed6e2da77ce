//! Containers of an engine: which images they use, and which of them is our own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bollard::models::{ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};

use super::{Engine, EngineError};

/// A container, running or stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// Its name, without the slash.
    pub name: String,
    /// The id of the image that it was made from.
    pub image_id: String,
    /// The name of that image when the container was made; its id if the name has moved on.
    pub image: String,
    /// Its labels; the runner's own is six hexadecimal digits without a value.
    pub labels: BTreeMap<String, String>,
    /// Whether it runs.
    pub running: bool,
    /// The names of the volumes that it mounts.
    pub volumes: Vec<String>,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The path on the host.
    pub source: PathBuf,
    /// The path in the container.
    pub destination: PathBuf,
}

/// The container that this program runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnContainer {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// Its name, without the slash.
    pub name: String,
    /// The id of its image: the action's own.
    pub image_id: String,
    /// The name of its image.
    pub image: String,
    /// What of the host it sees.
    pub mounts: Vec<Mount>,
}

impl OwnContainer {
    /// The host's path of a path in this container, if a mount brought it in.
    ///
    /// `/github/workspace` gives the host's path of the workspace, which is what bind mounts and default project names
    /// go by.
    pub fn host_path(&self, path: &Path) -> Option<PathBuf> {
        self.mounts
            .iter()
            .filter_map(|mount| Some((mount, path.strip_prefix(&mount.destination).ok()?)))
            .max_by_key(|(mount, _)| mount.destination.components().count())
            .map(
                |(mount, rest)| {
                    if rest.as_os_str().is_empty() { mount.source.clone() } else { mount.source.join(rest) }
                },
            )
    }
}

impl Engine {
    /// All containers, running or not.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let containers = self.docker.list_containers(Some(options)).await;
        let containers = containers.map_err(|error| self.failed("list containers".to_owned(), error))?;
        Ok(containers.into_iter().map(Container::from).collect())
    }

    /// The container that this process runs in, if it runs in one of this engine's.
    ///
    /// The host name is the container's id unless somebody set another; then the mounts and the control group tell.
    ///
    /// # Errors
    /// [`EngineError`]; files of `/proc` that cannot be read only make for fewer ways to find out.
    pub async fn own_container(&self) -> Result<Option<OwnContainer>, EngineError> {
        let read = |path: &'static str| async move { tokio::fs::read_to_string(path).await.unwrap_or_default() };
        let (mounts, groups) = tokio::join!(read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for candidate in candidates(&host_name, &mounts, &groups) {
            // A container may be *named* like our host name: then its id is another.
            let found = self.container(&candidate).await?.filter(|container| container.id.starts_with(&candidate));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Looks at one container, by id or name; `None` if there is no such container.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn container(&self, container: &str) -> Result<Option<OwnContainer>, EngineError> {
        match self.docker.inspect_container(container, None::<InspectContainerOptions>).await {
            Ok(container) => Ok(Some(container.into())),
            Err(error) => match self.failed(format!("look at container {container}"), error) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }
}

/// Texts that may be (the beginning of) our own container's id, the likeliest first.
fn candidates(host_name: &str, mount_info: &str, control_groups: &str) -> Vec<String> {
    let mut found = Vec::new();
    if (12..=64).contains(&host_name.len()) && is_hex(host_name) {
        found.push(host_name.to_owned());
    }
    // Docker mounts these three files from the container's own directory. On a host the same directories appear as
    // mount points of *other* containers, so the mount point matters.
    let mounted = mount_info.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        matches!(point, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf").then_some(root)
    });
    let grouped = control_groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    for id in mounted.chain(grouped).flat_map(ids_in) {
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// The path components that are a container's id: `…/containers/<id>/hostname`, `/docker/<id>`, `docker-<id>.scope`.
fn ids_in(path: &str) -> impl Iterator<Item = String> {
    path.split('/')
        .map(|part| part.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope")).unwrap_or(part))
        .filter(|part| part.len() == 64 && is_hex(part))
        .map(str::to_owned)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl From<ContainerSummary> for Container {
    fn from(container: ContainerSummary) -> Self {
        // A linked container has names like `/other/alias` as well; its own has one slash.
        let names = container.names.unwrap_or_default();
        let own = names.iter().find(|name| name.matches('/').count() == 1).or_else(|| names.first());
        Self {
            name: own.map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
            id: container.id.unwrap_or_default(),
            image_id: container.image_id.unwrap_or_default(),
            image: container.image.unwrap_or_default(),
            labels: container.labels.unwrap_or_default().into_iter().collect(),
            running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
            volumes: container.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.name).collect(),
        }
    }
}

impl From<ContainerInspectResponse> for OwnContainer {
    fn from(container: ContainerInspectResponse) -> Self {
        let mounts =
            container.mounts.unwrap_or_default().into_iter().filter_map(|mount| {
                Some(Mount { source: mount.source?.into(), destination: mount.destination?.into() })
            });
        Self {
            id: container.id.unwrap_or_default(),
            name: container.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image_id: container.image.unwrap_or_default(),
            image: container.config.and_then(|config| config.image).unwrap_or_default(),
            mounts: mounts.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Mount, OwnContainer, candidates};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn finds_its_own_id() {
        let mounted =
            format!("700 690 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw");
        let of_another = format!("26 29 0:5 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw");
        let scope = format!("0::/system.slice/docker-{ID}.scope");
        let group = format!("12:cpu:/docker/{ID}\n11:memory:/docker/{ID}");
        for (host, mounts, groups, expected) in [
            ("0123456789ab", "", "", vec!["0123456789ab"]),
            ("web-1", "", "", vec![]),
            ("cafe", "", "", vec![]),
            ("web-1", mounted.as_str(), "0::/", vec![ID]),
            ("web-1", of_another.as_str(), "0::/", vec![]),
            ("web-1", "", scope.as_str(), vec![ID]),
            ("0123456789ab", mounted.as_str(), group.as_str(), vec!["0123456789ab", ID]),
        ] {
            assert_eq!(candidates(host, mounts, groups), expected, "{host} {mounts} {groups}");
        }
    }

    #[test]
    fn maps_paths_to_the_host() {
        let mount = |source: &str, destination: &str| Mount { source: source.into(), destination: destination.into() };
        let own = OwnContainer {
            id: ID.into(),
            name: String::new(),
            image_id: String::new(),
            image: String::new(),
            mounts: vec![
                mount("/home/runner/work/app/app", "/github/workspace"),
                mount("/home/runner/work/_temp/_github_home", "/github/home"),
                mount("/mnt", "/github/workspace/mnt"),
            ],
        };
        for (path, expected) in [
            ("/github/workspace", Some("/home/runner/work/app/app")),
            ("/github/workspace/web", Some("/home/runner/work/app/app/web")),
            ("/github/workspace/mnt/x", Some("/mnt/x")),
            ("/github/workspaces", None),
            ("/tmp", None),
        ] {
            assert_eq!(own.host_path(Path::new(path)), expected.map(PathBuf::from), "{path}");
        }
    }
}
