//! The session: services that the builder calls on this client while it builds.
//!
//! The session is a gRPC **server** of ours at the end of a byte stream that we opened ourselves
//! (`github.com/moby/buildkit/session`). The stream travels inside gRPC (`Control.Session`), which every engine from
//! 20.10 on and every `buildkitd` has; `POST /session` is the fallback of engines that refuse it.

mod auth;
mod carrier;
mod content;
pub mod filesend;
pub mod filesync;
mod health;
mod secrets;
mod ssh;

pub use auth::Credentials;
pub use content::{ContentStore, ContentStores, Missing};
pub use secrets::{MAX_SECRET, Secrets};
pub use ssh::{KeyError, SshAgents, SshError};

use std::convert::Infallible;

use bollard_buildkit_proto::health::health_server::HealthServer;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSendServer;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;

use super::connection::Connection;
use super::error::BuildKitError;
use filesend::FileReceiver;
use filesync::FileSyncService;

/// The daemon's own limit for a message (`defaults.DefaultMaxSendMsgSize`).
const MAX_MESSAGE: usize = 16 << 20;
const WINDOW: u32 = 4 << 20;

/// What the builder may call on us. Every method that is offered is announced when the session opens: a method that is
/// not announced is never called.
pub struct Services {
    routes: Routes,
    methods: Vec<&'static str>,
}

impl Services {
    /// Services of every session: health checks and registry credentials.
    pub fn new(credentials: Credentials) -> Self {
        let health = HealthServer::new(health::Health);
        let routes = Routes::new(health).add_service(AuthServer::new(credentials));
        Self { routes, methods: auth::METHODS.to_vec() }
    }

    /// Offers build contexts and Dockerfiles.
    #[must_use]
    pub fn with_files(self, files: FileSyncService) -> Self {
        let server = FileSyncServer::new(files).max_decoding_message_size(MAX_MESSAGE);
        self.with(server.max_encoding_message_size(MAX_MESSAGE), &filesync::METHODS)
    }

    /// Takes the files of exporters.
    #[must_use]
    pub fn with_files_taken(self, receiver: FileReceiver) -> Self {
        let server = FileSendServer::new(receiver).max_decoding_message_size(MAX_MESSAGE);
        self.with(server, &filesend::METHODS)
    }

    /// Offers secrets.
    #[must_use]
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        self.with(SecretsServer::new(secrets), &secrets::METHODS)
    }

    /// Offers SSH agents.
    #[must_use]
    pub fn with_ssh(self, agents: SshAgents) -> Self {
        self.with(SshServer::new(agents), &ssh::METHODS)
    }

    /// Offers content stores: caches for the builder to read, and places for it to write caches to.
    #[must_use]
    pub fn with_content(self, stores: ContentStores) -> Self {
        self.with(content::ContentServer(stores), &content::METHODS)
    }

    fn with<S>(mut self, service: S, methods: &[&'static str]) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes = self.routes.add_service(service);
        self.methods.extend(methods);
        self
    }
}

/// An open session. It ends when this is dropped.
pub struct Session {
    id: String,
    _ends: DropGuard,
}

impl Session {
    /// Opens a session and begins to serve.
    ///
    /// `shared_key` names the directory for the builder: of a directory that it knows by this key, only the files that
    /// changed are sent again.
    pub async fn open(connection: &Connection, services: Services, shared_key: &str) -> Result<Self, BuildKitError> {
        // Session ids must be unique on a daemon: two of the same id collide.
        let id = uuid::Uuid::new_v4().simple().to_string();
        let stream = carrier::open(connection, &id, shared_key, &services.methods).await?;
        let ends = CancellationToken::new();
        let stop = ends.clone();
        let server = Server::builder()
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .add_routes(services.routes);
        tokio::spawn(async move {
            let incoming = tokio_stream::once(Ok::<_, std::io::Error>(stream));
            tokio::select! {
                served = server.serve_with_incoming(incoming) => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "the session ended");
                    }
                }
                () = stop.cancelled() => {}
            }
        });
        Ok(Self { id, _ends: ends.drop_guard() })
    }

    /// The id that a solve names.
    pub fn id(&self) -> &str {
        &self.id
    }
}
