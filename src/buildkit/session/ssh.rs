//! SSH: forwards an agent for `RUN --mount=type=ssh` (`moby.sshforward.v1.SSH`), as a read-only agent.
//!
//! A build may list keys and sign with them. Everything else an agent can do (add, remove, lock, extensions) is
//! answered with a failure, as `sshprovider.readOnlyAgent` does upstream.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::project::target::SshSource;

pub(super) const METHODS: [&str; 2] = ["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"];

/// Which agent a step asks for, in the request's metadata (`sshforward.KeySSHID`).
const KEY_SSH_ID: &str = "buildkit.ssh.id";
const DEFAULT_ID: &str = "default";

/// Message types of the agent protocol (draft-ietf-sshm-ssh-agent, section 6.1).
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// OpenSSH's own limit for a message, in bytes.
const MAX_MESSAGE: usize = 256 << 10;

/// Agents that a build may use, by id.
#[derive(Debug, Default)]
pub struct SshAgents {
    sockets: BTreeMap<String, PathBuf>,
}

/// Why an SSH source cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// Nothing there.
    #[error("use the ssh source '{id}': read {}", path.display())]
    Missing {
        /// The source's id.
        id: String,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key file, or several paths.
    #[error("use the ssh source '{id}': {} is not the socket of an SSH agent", path.display())]
    NotASocket {
        /// The source's id.
        id: String,
        /// The path.
        path: PathBuf,
    },
}

impl SshError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        "start an ssh-agent, add the key to it, and give its socket: `ssh: default=$SSH_AUTH_SOCK`"
    }
}

impl SshAgents {
    /// Agents for a build; the sockets must exist now.
    pub fn new(sources: &[SshSource]) -> Result<Self, SshError> {
        let mut sockets = BTreeMap::new();
        for source in sources {
            for path in &source.paths {
                let id = || source.id.clone();
                let metadata = std::fs::metadata(path).map_err(|error| SshError::Missing {
                    id: id(),
                    path: path.clone(),
                    source: error,
                })?;
                if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) || sockets.contains_key(&source.id)
                {
                    return Err(SshError::NotASocket { id: id(), path: path.clone() });
                }
                sockets.insert(source.id.clone(), path.clone());
            }
        }
        Ok(Self { sockets })
    }

    fn find(&self, id: &str) -> Result<&PathBuf, Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        self.sockets.get(id).ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
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
        let path = self.find(id)?;
        let agent = UnixStream::connect(path)
            .await
            .map_err(|error| Status::unavailable(format!("connect to the SSH agent at {}: {error}", path.display())))?;
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

/// Hands whole messages to the agent, one at a time: the protocol is strictly request and answer.
async fn forward(
    mut agent: UnixStream,
    mut requests: Streaming<BytesMessage>,
    answers: &mpsc::Sender<Result<BytesMessage, Status>>,
) -> io::Result<()> {
    let mut pending = Vec::new();
    while let Some(Ok(message)) = requests.next().await {
        pending.extend_from_slice(&message.data);
        while let Some(request) = take_message(&mut pending)? {
            let answer = match request.get(4) {
                Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => ask(&mut agent, &request).await?,
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

/// The first whole message, with its length, out of what arrived so far.
fn take_message(pending: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = pending.first_chunk::<4>() else { return Ok(None) };
    let total = checked_length(u32::from_be_bytes(*length))?.saturating_add(4);
    if pending.len() < total {
        return Ok(None);
    }
    let rest = pending.split_off(total);
    Ok(Some(std::mem::replace(pending, rest)))
}

fn checked_length(length: u32) -> io::Result<usize> {
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size == 0 || size > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::{MAX_MESSAGE, SshAgents, SshError, take_message};
    use crate::project::target::SshSource;

    fn source(path: &std::path::Path) -> SshSource {
        SshSource { id: "default".to_owned(), paths: vec![path.to_owned()] }
    }

    #[test]
    fn only_sockets_are_agents() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let _listener = UnixListener::bind(&socket).unwrap();
        let file = directory.path().join("id_ed25519");
        std::fs::write(&file, "key").unwrap();
        assert!(SshAgents::new(&[source(&socket)]).is_ok());
        assert!(matches!(SshAgents::new(&[source(&file)]), Err(SshError::NotASocket { .. })));
        assert!(matches!(SshAgents::new(&[source(&directory.path().join("no"))]), Err(SshError::Missing { .. })));
    }

    #[test]
    fn messages_are_whole_however_they_arrive() {
        let mut pending = vec![0, 0, 0];
        assert!(take_message(&mut pending).unwrap().is_none());
        pending.extend([2, 11]);
        assert!(take_message(&mut pending).unwrap().is_none());
        pending.extend([7, 0, 0, 0, 1, 13]);
        assert_eq!(take_message(&mut pending).unwrap(), Some(vec![0, 0, 0, 2, 11, 7]));
        assert_eq!(take_message(&mut pending).unwrap(), Some(vec![0, 0, 0, 1, 13]));
        assert!(pending.is_empty());
        let too_long = u32::try_from(MAX_MESSAGE + 1).unwrap().to_be_bytes().to_vec();
        assert!(take_message(&mut too_long.clone()).is_err() && take_message(&mut vec![0; 4]).is_err());
    }
}
