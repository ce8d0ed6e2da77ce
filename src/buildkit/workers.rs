//! What the builder tells of itself (`Control.ListWorkers`, `Control.Info`).

use std::collections::BTreeSet;

use bollard_buildkit_proto::moby::buildkit::v1::types::WorkerRecord;
use bollard_buildkit_proto::moby::buildkit::v1::{InfoRequest, ListWorkersRequest};
use bollard_buildkit_proto::pb::Platform;

use super::connection::Connection;
use super::error::BuildKitError;

/// The label in which dockerd's builder tells what `host-gateway` stands for (moby `worker/label`).
const HOST_GATEWAY: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";

/// What a BuildKit daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its version, as `v0.23.2`; daemons before 0.11 do not tell it.
    pub version: Option<String>,
    /// The platforms that its workers build for, emulated ones included, as `linux/arm64`.
    pub platforms: BTreeSet<String>,
}

/// The address that `host-gateway` stands for; nothing on engines that do not tell it (before 23.0).
pub async fn host_gateway(connection: &Connection) -> Result<Option<String>, BuildKitError> {
    let mut workers = workers(connection).await?.into_iter();
    Ok(workers.find_map(|mut worker| worker.labels.remove(HOST_GATEWAY)).filter(|address| !address.is_empty()))
}

/// Asks a daemon what it is. It is the first question to one: with TLS 1.3 only the answer tells whether it took our
/// certificate.
pub async fn daemon(connection: &Connection) -> Result<Daemon, BuildKitError> {
    let workers = workers(connection).await?;
    // Daemons before 0.11 do not know the question.
    let info = connection.control().info(InfoRequest {}).await.ok().and_then(|info| info.into_inner().buildkit_version);
    let version = info.map(|info| info.version).filter(|version| !version.is_empty());
    Ok(Daemon { version, platforms: workers.iter().flat_map(|worker| &worker.platforms).map(platform).collect() })
}

async fn workers(connection: &Connection) -> Result<Vec<WorkerRecord>, BuildKitError> {
    let response = connection.control().list_workers(ListWorkersRequest::default()).await;
    let response =
        response.map_err(|status| BuildKitError::Call { action: "list its workers", source: Box::new(status) })?;
    Ok(response.into_inner().record)
}

fn platform(platform: &Platform) -> String {
    let Platform { os, architecture, variant, .. } = platform;
    let parts = [os, architecture, variant].map(String::as_str);
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::{Platform, platform};

    #[test]
    fn platforms_are_written_as_everywhere() {
        let of = |variant: &str| {
            let (os, architecture, variant) = ("linux".to_owned(), "arm".to_owned(), variant.to_owned());
            platform(&Platform { os, architecture, variant, ..Platform::default() })
        };
        assert_eq!([of("v7"), of("")], ["linux/arm/v7", "linux/arm"]);
    }
}
