//! SSH: an agent for `RUN --mount=type=ssh` (`moby.sshforward.v1.SSH`), as a read-only agent.
//!
//! A build may list keys and sign with them. Everything else an agent can do (add, remove, lock, extensions) is
//! answered with a failure, as `sshprovider.readOnlyAgent` does upstream.

mod error;
mod file;
mod key;
mod keyring;
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

pub use error::{KeyError, SshError};

use self::keyring::Keyring;
use self::wire::{checked_length, take_message};
use crate::project::target::SshSource;

pub(super) const METHODS: [&str; 2] = ["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"];

/// Which agent a step asks for, in the request's metadata (`sshforward.KeySSHID`).
const KEY_SSH_ID: &str = "buildkit.ssh.id";
const DEFAULT_ID: &str = "default";

/// Message types of the agent protocol (draft-ietf-sshm-ssh-agent, section 6.1).
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// Upstream reads as much of a key file.
const MAX_KEY_FILE: u64 = 100 << 10;

/// Agents that a build may use, by id.
#[derive(Debug, Default)]
pub struct SshAgents {
    agents: BTreeMap<String, Agent>,
}

#[derive(Debug, Clone)]
enum Agent {
    /// Somebody else's.
    Socket(PathBuf),
    /// Our own.
    Keys(Arc<Keyring>),
}

impl SshAgents {
    /// Agents for a build; sockets must exist now, and keys are read now.
    ///
    /// # Errors
    /// The first source that cannot be used.
    pub fn new(sources: &[SshSource]) -> Result<Self, SshError> {
        let mut paths: BTreeMap<&str, Vec<&Path>> = BTreeMap::new();
        for source in sources {
            paths.entry(&source.id).or_default().extend(source.paths.iter().map(PathBuf::as_path));
        }
        let agents = paths.into_iter().map(|(id, paths)| Ok((id.to_owned(), agent(id, &paths)?)));
        Ok(Self { agents: agents.collect::<Result<_, _>>()? })
    }

    fn find(&self, id: &str) -> Result<&Agent, Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        self.agents.get(id).ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
}

fn agent(id: &str, paths: &[&Path]) -> Result<Agent, SshError> {
    let mut keys = Keyring::default();
    for path in paths {
        let missing = |source| SshError::Missing { id: id.to_owned(), path: path.to_path_buf(), source };
        let kind = std::fs::metadata(path).map_err(missing)?.file_type();
        if kind.is_socket() {
            return match paths {
                [only] => Ok(Agent::Socket(only.to_path_buf())),
                _ => Err(SshError::Mixed { id: id.to_owned() }),
            };
        }
        if !kind.is_file() {
            return Err(SshError::Neither { id: id.to_owned(), path: path.to_path_buf() });
        }
        let mut content = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_KEY_FILE).read_to_end(&mut content)).map_err(missing)?;
        let key = file::parse(&content);
        let key = key.map_err(|source| SshError::Key { id: id.to_owned(), path: path.to_path_buf(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        keys.add(name.into_owned(), key);
    }
    Ok(Agent::Keys(Arc::new(keys)))
}

#[async_trait]
impl Ssh for SshAgents {
    async fn check_agent(&self, request: Request<CheckAgentRequest>) -> Result<Response<CheckAgentResponse>, Status> {
        self.find(&request.get_ref().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(KEY_SSH_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let agent = match self.find(id)? {
            Agent::Socket(path) => Line::Socket(UnixStream::connect(path).await.map_err(|error| {
                Status::unavailable(format!("connect to the SSH agent at {}: {error}", path.display()))
            })?),
            Agent::Keys(keys) => Line::Keys(Arc::clone(keys)),
        };
        let (answers, receiver) = mpsc::channel(4);
        let requests = request.into_inner();
        tokio::spawn(async move {
            if let Err(error) = forward(agent, requests, &answers).await {
                let _ = answers.send(Err(Status::aborted(format!("the SSH agent: {error}")))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// A line to an agent.
enum Line {
    Socket(UnixStream),
    Keys(Arc<Keyring>),
}

impl Line {
    async fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Socket(agent) => ask(agent, request).await,
            Self::Keys(keys) => Ok(keys.answer(request)),
        }
    }
}

/// Hands whole messages to the agent, one at a time: the protocol is strictly request and answer.
async fn forward(
    mut agent: Line,
    mut requests: Streaming<BytesMessage>,
    answers: &mpsc::Sender<Result<BytesMessage, Status>>,
) -> io::Result<()> {
    let mut pending = Vec::new();
    while let Some(Ok(message)) = requests.next().await {
        pending.extend_from_slice(&message.data);
        while let Some(request) = take_message(&mut pending)? {
            let answer = match request.get(4) {
                Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => agent.ask(&request).await?,
                _ => FAILURE.to_vec(),
            };
            if answers.send(Ok(BytesMessage { data: answer })).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn ask(agent: &mut UnixStream, request: &[u8]) -> io::Result<Vec<u8>> {
    agent.write_all(request).await?;
    let length = agent.read_u32().await?;
    let mut answer = length.to_be_bytes().to_vec();
    let size = checked_length(length)?;
    answer.resize(size.saturating_add(4), 0);
    agent.read_exact(answer.get_mut(4..).unwrap_or_default()).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::{Agent, KeyError, SshAgents, SshError};
    use crate::project::target::SshSource;

    fn source(paths: &[&Path]) -> SshSource {
        SshSource { id: "default".to_owned(), paths: paths.iter().map(|path| path.to_path_buf()).collect() }
    }

    #[test]
    fn a_source_is_an_agent_or_keys() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (socket, key, encrypted) = (at("agent"), at("id_ed25519"), at("encrypted"));
        let _listener = UnixListener::bind(&socket).unwrap();
        std::fs::write(&key, include_bytes!("ssh/testdata/ed25519.key")).unwrap();
        std::fs::write(&encrypted, include_bytes!("ssh/testdata/encrypted.key")).unwrap();
        let agents = |paths: &[&Path]| SshAgents::new(&[source(paths)]);
        let found = |paths: &[&Path]| agents(paths).unwrap().find("").unwrap().clone();
        assert!(matches!(found(&[&socket]), Agent::Socket(_)));
        assert!(matches!(found(&[&key, &key]), Agent::Keys(_)));
        assert!(agents(&[&key]).unwrap().find("other").is_err());
        assert!(matches!(agents(&[&socket, &key]), Err(SshError::Mixed { .. })));
        assert!(matches!(agents(&[&key, &socket]), Err(SshError::Mixed { .. })));
        assert!(matches!(SshAgents::new(&[source(&[&key]), source(&[&socket])]), Err(SshError::Mixed { .. })));
        assert!(matches!(agents(&[directory.path()]), Err(SshError::Neither { .. })));
        assert!(matches!(agents(&[&at("no")]), Err(SshError::Missing { .. })));
        let error = agents(&[&encrypted]).unwrap_err();
        assert!(matches!(error, SshError::Key { source: KeyError::Encrypted, .. }));
        assert!(error.help().contains("passphrase"));
    }
}
