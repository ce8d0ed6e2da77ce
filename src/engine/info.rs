//! What an engine is: its version, its image store, what it can do.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::Deserialize;

use super::error::EngineError;
use crate::address::Address;

/// The oldest API that this program speaks: Docker 20.10.
pub const OLDEST_API: ApiVersion = ApiVersion { major: 1, minor: 41 };
/// The newest API that this program speaks. A newer engine is asked in this one's terms.
pub const NEWEST_API: ApiVersion = ApiVersion { major: 1, minor: 51 };

/// A version of the Engine API, as `1.51`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// 1, so far.
    pub major: u32,
    /// The part after the dot.
    pub minor: u32,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { major: major.parse()?, minor: minor.parse()? })
    }
}

impl From<ApiVersion> for (u32, u32) {
    fn from(version: ApiVersion) -> Self {
        (version.major, version.minor)
    }
}

/// Where an engine keeps its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageStore {
    /// A graph driver, by its name: `overlay2`.
    GraphDriver(String),
    /// The containerd image store.
    Containerd,
}

/// What an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its version, as `28.5.2`.
    pub version: String,
    /// The newest API that it speaks; requests are made in the older of this and [`NEWEST_API`].
    pub api_version: ApiVersion,
    /// Where it keeps its images.
    pub store: ImageStore,
    /// Its own platform, as `linux/amd64`.
    pub platform: String,
    /// Its data root on the host, as `/var/lib/docker`.
    pub data_root: Option<String>,
    /// Whether BuildKit is built in: in every Linux dockerd since 18.09, not in Podman.
    pub has_buildkit: bool,
    /// Whether it runs without root.
    pub rootless: bool,
}

impl EngineInfo {
    /// Whether its BuildKit is 0.8 or older: Docker 23.0 (API 1.42) was the first release with a newer one (`vendor.mod` of
    /// moby v23.0.0).
    pub fn has_buildkit_0_8(&self) -> bool {
        self.api_version < ApiVersion { major: 1, minor: 42 }
    }
}

impl EngineInfo {
    /// The API version that requests are made in.
    pub fn negotiated(&self) -> ApiVersion {
        self.api_version.min(NEWEST_API)
    }

    /// Puts together what `/version` and `/info` said.
    pub(super) fn assemble(address: &Address, version: RawVersion, info: RawInfo) -> Result<Self, EngineError> {
        let api = |text: Option<&str>| {
            text.unwrap_or_default().parse::<ApiVersion>().map_err(|error| EngineError::NotAnEngine {
                address: address.to_string(),
                source: format!("its API version is '{}': {error}", text.unwrap_or_default()).into(),
            })
        };
        let newest = api(version.api_version.as_deref())?;
        let oldest = version.min_api_version.as_deref().map_or(Ok(newest), |text| api(Some(text)))?;
        if newest < OLDEST_API || oldest > NEWEST_API {
            return Err(EngineError::Version {
                version: version.version,
                from: oldest,
                to: newest,
                ours_from: OLDEST_API,
                ours_to: NEWEST_API,
            });
        }
        let is_podman = version.components.iter().flatten().any(|component| component.name.starts_with("Podman"));
        Ok(Self {
            has_buildkit: version.os == "linux" && !is_podman,
            platform: format!("{}/{}", version.os, version.arch),
            version: version.version,
            api_version: newest,
            rootless: info.security_options.iter().flatten().any(|option| option == "name=rootless"),
            data_root: info.docker_root_dir.filter(|path| !path.is_empty()),
            store: if uses_containerd(info.driver_status.as_deref().unwrap_or_default()) {
                ImageStore::Containerd
            } else {
                ImageStore::GraphDriver(info.driver)
            },
        })
    }
}

/// The containerd image store calls itself a driver type; a graph driver's status has other rows
/// (`daemon/containerd/service.go`, `LayerStoreStatus`).
fn uses_containerd(status: &[Vec<String>]) -> bool {
    status.iter().flatten().any(|cell| cell.starts_with("io.containerd.snapshotter."))
}

/// The parts of `GET /version` that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RawVersion {
    version: String,
    api_version: Option<String>,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: Option<String>,
    #[serde(default)]
    os: String,
    #[serde(default)]
    arch: String,
    components: Option<Vec<RawComponent>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawComponent {
    #[serde(default)]
    name: String,
}

/// The parts of `GET /info` that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RawInfo {
    #[serde(default)]
    driver: String,
    driver_status: Option<Vec<Vec<String>>>,
    docker_root_dir: Option<String>,
    security_options: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ApiVersion, EngineInfo, ImageStore};
    use crate::engine::{Address, EngineError};

    fn assemble(version: Value, info: Value) -> Result<EngineInfo, EngineError> {
        EngineInfo::assemble(
            &Address::default(),
            serde_json::from_value(version).unwrap(),
            serde_json::from_value(info).unwrap(),
        )
    }

    fn version(api: &str, min: &str) -> Value {
        json!({"Version": "28.5.2", "ApiVersion": api, "MinAPIVersion": min, "Os": "linux", "Arch": "amd64",
               "Components": [{"Name": "Engine"}]})
    }

    #[test]
    fn tells_the_stores_apart() {
        let graph = json!({"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]],
                           "DockerRootDir": "/var/lib/docker", "SecurityOptions": ["name=seccomp,profile=builtin"]});
        let info = assemble(version("1.41", "1.12"), graph).unwrap();
        assert_eq!(
            info,
            EngineInfo {
                version: "28.5.2".into(),
                api_version: ApiVersion { major: 1, minor: 41 },
                store: ImageStore::GraphDriver("overlay2".into()),
                platform: "linux/amd64".into(),
                data_root: Some("/var/lib/docker".into()),
                has_buildkit: true,
                rootless: false,
            }
        );
        let containerd = json!({"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
                                "SecurityOptions": ["name=rootless"]});
        let info = assemble(version("1.56", "1.40"), containerd).unwrap();
        assert_eq!((info.store, info.rootless), (ImageStore::Containerd, true));
    }

    #[test]
    fn asks_a_newer_engine_in_the_terms_that_it_knows() {
        let info = json!({"Driver": "overlay2"});
        let negotiated = |api: &str| assemble(version(api, "1.24"), info.clone()).unwrap().negotiated().to_string();
        assert_eq!([negotiated("1.41"), negotiated("1.51"), negotiated("1.56")], ["1.41", "1.51", "1.51"]);
    }

    #[test]
    fn refuses_engines_that_share_no_api_with_it() {
        let info = json!({"Driver": "overlay2"});
        let message = |api, min| assemble(version(api, min), info.clone()).unwrap_err().to_string();
        assert_eq!(
            message("1.40", "1.12"),
            "talk to the engine: Docker 28.5.2 speaks API 1.12 to 1.40, and this program 1.41 to 1.51"
        );
        assert_eq!(
            message("1.70", "1.60"),
            "talk to the engine: Docker 28.5.2 speaks API 1.60 to 1.70, and this program 1.41 to 1.51"
        );
        assert_eq!(
            message("one", "1.12"),
            "talk to the engine: what listens at unix:///var/run/docker.sock is not a Docker engine"
        );
    }

    #[test]
    fn podman_has_no_buildkit() {
        let podman = json!({"Version": "5.0", "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64",
                            "Components": [{"Name": "Podman Engine"}]});
        assert!(!assemble(podman, json!({"Driver": "overlay"})).unwrap().has_buildkit);
    }
}
