//! The engine and the builder that a run works with.

use std::time::Duration;

use crate::address::{Address, DialError};
use crate::buildkit::workers::{self, Daemon};
use crate::buildkit::{BuildKitError, Connection, Transport};
use crate::engine::{Engine, EngineError, ImageStore, RunnerKind};
use crate::error::chain;
use crate::inputs::BuilderChoice;
use crate::outcome::build::EngineFacts;
use crate::plan::build::Builder;
use crate::runner::ExitCode;

use super::Run;

/// How long a daemon may take to say what it is; a healthy one takes milliseconds.
const GREETING_TIMEOUT: Duration = Duration::from_secs(20);

/// The builder of a run.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The connection to BuildKit; absent where the classic builder is used.
    pub(super) connection: Option<Connection>,
    /// Where it is, if it is not the engine's own.
    pub(super) remote: Option<Address>,
}

impl Chosen {
    /// Which kind it is.
    pub(super) const fn kind(&self) -> Builder {
        if self.connection.is_some() { Builder::BuildKit } else { Builder::Classic }
    }

    /// What is worth saying of the engine and the builder.
    pub(super) fn facts(&self, engine: &Engine) -> EngineFacts {
        let builder = match (&self.remote, self.kind()) {
            (Some(address), _) => format!("BuildKit at {address}, with its own cache and that of registries"),
            (None, Builder::BuildKit) => "buildkit".to_owned(),
            (None, Builder::Classic) => "classic".to_owned(),
        };
        EngineFacts {
            version: engine.info().version.clone(),
            containerd_store: engine.info().store == ImageStore::Containerd,
            builder,
        }
    }
}

impl Run {
    /// Connects to the engine that the environment names.
    pub(super) async fn engine(&self) -> Result<Engine, EngineError> {
        let address = Address::from_env(|name| self.environment.get(name).map(str::to_owned))?;
        Engine::connect(&address).await
    }

    /// Connects to the builder that the inputs name. What is wrong has been said when this fails.
    pub(super) async fn builder(&self, choice: &BuilderChoice, engine: &Engine) -> Result<Chosen, ExitCode> {
        let has_buildkit = engine.info().has_buildkit;
        match choice {
            BuilderChoice::Remote(address) => {
                let connection = Some(self.remote_builder(address).await?);
                Ok(Chosen { connection, remote: Some(address.clone()) })
            }
            BuilderChoice::Auto if !has_buildkit => Ok(Chosen { connection: None, remote: None }),
            BuilderChoice::Classic => Ok(Chosen { connection: None, remote: None }),
            BuilderChoice::Auto | BuilderChoice::BuildKit => {
                let connection = buildkit(engine).await.map_err(|error| {
                    self.explain(&chain(&error), error.help());
                    ExitCode::NoEngine
                })?;
                Ok(Chosen { connection: Some(connection), remote: None })
            }
        }
    }

    /// Connects to a BuildKit daemon, and says what it is.
    async fn remote_builder(&self, address: &Address) -> Result<Connection, ExitCode> {
        match remote(address, GREETING_TIMEOUT).await {
            Ok((connection, daemon)) => {
                self.console.info(&described(address, &daemon));
                Ok(connection)
            }
            Err(error) => {
                self.explain(&format!("use the builder at {address}: {}", chain(&error)), remote_help(&error, address));
                Err(ExitCode::NoEngine)
            }
        }
    }

    /// Says why there is no engine.
    pub(super) fn no_engine(&self, error: &EngineError, choice: &BuilderChoice) -> ExitCode {
        let kind = RunnerKind::from_env(|name| self.environment.get(name).map(str::to_owned));
        let help = error.help(kind).unwrap_or_default();
        let help = match choice {
            BuilderChoice::Remote(_) => format!("The image of a remote builder is loaded into this engine. {help}"),
            BuilderChoice::Auto | BuilderChoice::BuildKit | BuilderChoice::Classic => help,
        };
        self.explain(&chain(error), &help);
        ExitCode::NoEngine
    }
}

/// A connection to the BuildKit inside the engine.
pub(super) async fn buildkit(engine: &Engine) -> Result<Connection, BuildKitError> {
    let api = engine.info().api_version;
    Connection::open(engine.address(), Transport::of_engine((api.major, api.minor))).await
}

/// A connection to a BuildKit daemon that answers.
async fn remote(address: &Address, within: Duration) -> Result<(Connection, Daemon), BuildKitError> {
    let greeting = async {
        let connection = Connection::open(address, Transport::Direct).await?;
        let daemon = workers::daemon(&connection).await?;
        Ok::<_, BuildKitError>((connection, daemon))
    };
    // Something else may listen there, and wait for us to say what it understands.
    match tokio::time::timeout(within, greeting).await {
        Ok(answer) => answer,
        Err(_) => Err(DialError::Timeout { address: address.to_string(), after: within }.into()),
    }
}

/// What a daemon is, and which caches there are with it: images of the engine hold no layer that it has.
fn described(address: &Address, daemon: &Daemon) -> String {
    let version = daemon.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    let platforms: Vec<&str> = daemon.platforms.iter().map(String::as_str).collect();
    let platforms = if platforms.is_empty() { String::new() } else { format!(" for {}", platforms.join(", ")) };
    format!(
        "builder at {address}: BuildKit{version}{platforms}; its cache is its own and that of registries, not the images of \
         this engine"
    )
}

/// What to do about a remote builder that cannot be used. With TLS 1.3 the daemon's refusal of a certificate arrives only
/// with its first answer, inside whatever that answer's error is; or not at all, if we write before we read it: then there is
/// only a connection that was closed.
fn remote_help(error: &BuildKitError, address: &Address) -> &'static str {
    let said = chain(error);
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let over_tls = matches!(address, Address::Tcp { tls: Some(_), .. });
    let closed = match error {
        // Only a broken connection has a source on this side.
        BuildKitError::Call { source, .. } => std::error::Error::source(source.as_ref()).is_some(),
        BuildKitError::Channel { .. } => true,
        BuildKitError::Dial(_)
        | BuildKitError::Handshake { .. }
        | BuildKitError::Upgrade { .. }
        | BuildKitError::Session(_) => false,
    };
    if says(&["received fatal alert"]) || (over_tls && closed) {
        return "the daemon ended the connection when it saw the certificate in `cert`: it must be signed by the authority that the daemon was \
                started with (`--tlscacert`), and be valid now";
    }
    if says(&["not valid for name", "NotValidForName"]) {
        return "the daemon's certificate is for another name: set the option `servername` to it, or write the address with \
                that name";
    }
    if says(&["invalid peer certificate"]) {
        return "the daemon's certificate must be signed by the authority in `cacert`, and be valid now";
    }
    match error {
        BuildKitError::Dial(DialError::Missing { .. } | DialError::Directory { .. }) => {
            "a container action sees sockets in the workspace (`/github/workspace`) and in `RUNNER_TEMP` only: make the \
             daemon listen there, or give it a TCP address"
        }
        BuildKitError::Dial(DialError::Permission { .. }) => {
            "let buildkitd make its socket for this user's group (`--group`), or run as root"
        }
        BuildKitError::Dial(DialError::Tls { .. } | DialError::Certificate { .. }) => {
            "what listens there speaks no TLS: start buildkitd with `--tlscert`, `--tlskey` and `--tlscacert`, or leave the \
             options of TLS out"
        }
        BuildKitError::Dial(DialError::Refused { .. } | DialError::Timeout { .. } | DialError::Network { .. }) => {
            "is buildkitd running, does it listen on that port (`--addr tcp://0.0.0.0:1234`), and can it be reached from \
             here? In a container action `localhost` is the container itself, not the runner"
        }
        BuildKitError::Handshake { .. }
        | BuildKitError::Upgrade { .. }
        | BuildKitError::Channel { .. }
        | BuildKitError::Session(_)
        | BuildKitError::Call { .. } => {
            "what listens there does not answer as a BuildKit daemon: is it one (and no Docker engine), and does it ask for \
             TLS? Then `cacert`, `cert` and `key` are needed"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Daemon, Duration, chain, described, remote};
    use crate::address::Address;

    #[tokio::test]
    async fn a_daemon_that_says_nothing_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&format!("tcp://{}", listener.local_addr().unwrap()), None).unwrap();
        let accepted = tokio::spawn(async move { listener.accept().await });
        let error = chain(&remote(&address, Duration::from_millis(300)).await.unwrap_err());
        assert!(error.ends_with("did not answer within 0.3 s"), "{error}");
        assert!(accepted.await.unwrap().is_ok());
    }

    #[test]
    fn says_which_caches_a_remote_builder_has() {
        let daemon = Daemon {
            version: Some("v0.23.2".to_owned()),
            platforms: ["linux/arm64", "linux/amd64"].map(str::to_owned).into(),
        };
        let address = Address::parse("tcp://b:1234", None).unwrap();
        let text = described(&address, &daemon);
        assert!(
            text.starts_with("builder at tcp://b:1234: BuildKit v0.23.2 for linux/amd64, linux/arm64; its cache"),
            "{text}"
        );
        let old = described(&address, &Daemon { version: None, platforms: [].into() });
        assert!(old.starts_with("builder at tcp://b:1234: BuildKit; its cache"), "{old}");
    }
}
