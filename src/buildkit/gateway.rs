//! The gateway: what a frontend may ask the builder, asked by this client (`LLBBridge`).

use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1 as api;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::ResolveImageConfigRequest;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tonic::{Code, Request, Status};

use super::connection::Connection;
use super::error::BuildKitError;
use super::session::Session;

/// Which build a call belongs to (`client/buildid`).
const BUILD_ID: &str = "buildkit-controlapi-buildid";
/// How long an answer is waited for. A local image is answered within milliseconds.
const ANSWER: Duration = Duration::from_secs(2);

/// A build without a frontend: it does nothing by itself, and while it is open the builder answers for it as it does
/// for a frontend.
///
/// It ends when this is dropped: its `Solve` is then cancelled. Never end one by `LLBBridge/Return`: a `Return` that
/// has neither a result nor an error makes the engine read through a nil pointer, and **the whole engine crashes**
/// (Docker 20.10.24 and 28.5.2). No code here can send one.
pub struct Gateway {
    connection: Connection,
    build: String,
    solving: BoxFuture<'static, Result<(), Status>>,
}

impl Gateway {
    /// A build in a session, which has to stay open as long as this. The builder first hears of it with the first
    /// question.
    pub fn open(connection: &Connection, session: &Session) -> Self {
        let build = uuid::Uuid::new_v4().simple().to_string();
        let session = session.id().to_owned();
        let request = api::SolveRequest { r#ref: build.clone(), session, internal: true, ..Default::default() };
        let mut control = connection.control();
        let solving = async move { control.solve(request).await.map(drop) }.boxed();
        Self { connection: connection.clone(), build, solving }
    }

    /// The config of an image that the engine has, byte for byte: with fields that no API of the engine shows, as
    /// `moby.buildkit.cache.v0` is. `None` if there is no such image. Cancel-safe.
    ///
    /// `reference` is complete, as `docker.io/library/app:latest`. Ask only for an image that the engine has: the
    /// builder looks for any other at its registry, whatever it is told.
    pub async fn config(&mut self, reference: &str) -> Result<Option<Bytes>, BuildKitError> {
        match self.resolve(reference).await {
            Ok(config) => Ok(Some(config)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(BuildKitError::Call { action: "read an image's config", source: Box::new(status) }),
        }
    }

    async fn resolve(&mut self, reference: &str) -> Result<Bytes, Status> {
        let mut bridge = self.connection.bridge();
        let mut request = Request::new(ResolveImageConfigRequest {
            r#ref: reference.to_owned(),
            resolve_mode: "local".to_owned(),
            ..Default::default()
        });
        let build =
            self.build.parse().map_err(|error| Status::internal(format!("{BUILD_ID} {}: {error}", self.build)))?;
        request.metadata_mut().insert(BUILD_ID, build);
        request.set_timeout(ANSWER);
        tokio::select! {
            // The builder waits by itself for a build that it does not know yet.
            answer = bridge.resolve_image_config(request) => Ok(answer?.into_inner().config.into()),
            ended = &mut self.solving => Err(ended.err().unwrap_or_else(|| Status::aborted("the build ended"))),
        }
    }
}
