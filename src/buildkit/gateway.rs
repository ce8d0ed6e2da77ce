//! The gateway (`LLBBridge`): questions that only a frontend can ask, without being one.
//!
//! A solve without a frontend stays open and answers calls that name it, as an interactive build of buildx does
//! (`client/build.go`).

use std::time::Duration;

use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{ResolveImageConfigRequest, ReturnRequest};
use bollard_buildkit_proto::moby::buildkit::v1::{self as api, SolveResponse};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::connection::Connection;
use super::error::BuildKitError;
use super::session::Session;

/// The metadata that names the solve (`frontend/gateway/grpcclient`).
const BUILD_ID: &str = "buildkit-controlapi-buildid";
/// A config with the records of thousands of steps is well below.
const MAX_CONFIG: usize = 64 << 20;
/// The solve is known to the builder a moment after it was asked for.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(5);
/// How long the builder may take to end the solve.
const CLOSING: Duration = Duration::from_secs(2);
/// `CANCELLED` (`google/rpc/code.proto`).
const CANCELLED: i32 = 1;

/// An open solve that answers questions.
pub struct Gateway {
    client: LlbBridgeClient<Channel>,
    id: MetadataValue<Ascii>,
    solve: JoinHandle<Result<Response<SolveResponse>, Status>>,
    /// Dropping the call ends the solve on the builder as well.
    ends: DropGuard,
}

impl Gateway {
    /// Opens one.
    ///
    /// # Errors
    /// [`BuildKitError`].
    pub async fn open(connection: &Connection, session: &Session) -> Result<Self, BuildKitError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = id.parse().map_err(|_| call(Status::internal("an id that no header can hold")))?;
        let mut control = connection.control();
        let request = api::SolveRequest { r#ref: id, session: session.id().to_owned(), ..Default::default() };
        let ends = CancellationToken::new();
        let ended = ends.clone();
        let solve = tokio::spawn(async move {
            tokio::select! {
                answer = control.solve(request) => answer,
                () = ended.cancelled() => Err(Status::cancelled("closed")),
            }
        });
        let client = connection.bridge().max_decoding_message_size(MAX_CONFIG);
        Ok(Self { client, id: name, solve, ends: ends.drop_guard() })
    }

    /// The configuration of an image of the engine, as it is stored; nothing if the engine has no such image.
    ///
    /// # Errors
    /// [`BuildKitError`].
    pub async fn config(&self, reference: &str) -> Result<Option<Bytes>, BuildKitError> {
        let mut attempts = ATTEMPTS;
        loop {
            let request = ResolveImageConfigRequest {
                r#ref: reference.to_owned(),
                resolve_mode: "local".to_owned(),
                ..Default::default()
            };
            match self.client.clone().resolve_image_config(self.named(request)).await {
                Ok(answer) => return Ok(Some(answer.into_inner().config.into())),
                Err(status) if is_early(&status) && attempts > 0 && !self.solve.is_finished() => {
                    attempts -= 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(status) if is_absent(&status) => return Ok(None),
                Err(status) => return Err(call(status)),
            }
        }
    }

    /// Ends the solve.
    ///
    /// With an error, always: a return that has neither result nor error is a nil dereference in dockerd (20.10 and 28).
    pub async fn close(self) {
        let error = rpc::Status { code: CANCELLED, message: "nothing was built".to_owned(), details: Vec::new() };
        let request = self.named(ReturnRequest { result: None, error: Some(error) });
        let returned = async {
            let _ = self.client.clone().r#return(request).await;
            let _ = self.solve.await;
        };
        let _ = tokio::time::timeout(CLOSING, returned).await;
        drop(self.ends);
    }

    fn named<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(BUILD_ID, self.id.clone());
        request
    }
}

/// Whether the builder does not know the solve yet (`control/gateway/gateway.go`: "no such job").
fn is_early(status: &Status) -> bool {
    status.message().contains("no such job") || status.message().contains("buildid")
}

fn is_absent(status: &Status) -> bool {
    let absent = ["not found", "no such image", "does not exist", "failed to resolve", "failed to do request"];
    status.code() == Code::NotFound || absent.iter().any(|text| status.message().contains(text))
}

fn call(status: Status) -> BuildKitError {
    BuildKitError::Call { action: "read the configuration of an image", source: Box::new(status) }
}
