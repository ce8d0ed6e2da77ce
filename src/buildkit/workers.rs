//! What the builder tells of itself (`Control.ListWorkers`).

use bollard_buildkit_proto::moby::buildkit::v1::ListWorkersRequest;

use super::connection::Connection;
use super::error::BuildKitError;

/// The label in which dockerd's builder tells what `host-gateway` stands for (moby `worker/label`).
const HOST_GATEWAY: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";

/// The address that `host-gateway` stands for; nothing on engines that do not tell it (before 23.0).
pub async fn host_gateway(connection: &Connection) -> Result<Option<String>, BuildKitError> {
    let response = connection.control().list_workers(ListWorkersRequest::default()).await;
    let response =
        response.map_err(|status| BuildKitError::Call { action: "list its workers", source: Box::new(status) })?;
    let mut workers = response.into_inner().record.into_iter();
    Ok(workers.find_map(|mut worker| worker.labels.remove(HOST_GATEWAY)).filter(|address| !address.is_empty()))
}
