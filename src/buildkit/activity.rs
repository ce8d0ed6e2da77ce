//! Whether a builder is at work (`Control.ListenBuildHistory`).

use bollard_buildkit_proto::moby::buildkit::v1::BuildHistoryRequest;
use tonic::Code;

use super::connection::Connection;
use super::error::BuildKitError;

/// How many builds run at this moment; `None` from a builder that does not tell (before BuildKit 0.11).
pub async fn builds(connection: &Connection) -> Result<Option<usize>, BuildKitError> {
    let request = BuildHistoryRequest { active_only: true, early_exit: true, ..BuildHistoryRequest::default() };
    let failed = |status| BuildKitError::Call { action: "list its builds", source: Box::new(status) };
    let mut events = match connection.control().listen_build_history(request).await {
        Ok(response) => response.into_inner(),
        Err(status) if status.code() == Code::Unimplemented => return Ok(None),
        Err(status) => return Err(failed(status)),
    };
    let mut builds = 0;
    loop {
        match events.message().await {
            Ok(Some(_)) => builds += 1,
            Ok(None) => return Ok(Some(builds)),
            // A server that does not know the call may say so only here.
            Err(status) if status.code() == Code::Unimplemented => return Ok(None),
            Err(status) => return Err(failed(status)),
        }
    }
}
