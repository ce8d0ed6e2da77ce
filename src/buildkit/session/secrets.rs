//! Secrets: content for `RUN --mount=type=secret` (`moby.buildkit.secrets.v1.Secrets`).

use std::collections::BTreeMap;
use std::io;

use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tokio::io::AsyncReadExt;
use tonic::{Request, Response, Status, async_trait};

use crate::project::target::{BuildSecret, SecretSource};

pub(super) const METHODS: [&str; 1] = ["/moby.buildkit.secrets.v1.Secrets/GetSecret"];

/// BuildKit's own limit (`secretsprovider.MaxSecretSize`), in bytes.
pub const MAX_SECRET: usize = 500 * 1024;

/// The secrets of one build, by id. A file is read when the builder asks for it.
#[derive(Debug, Default)]
pub struct Secrets {
    by_id: BTreeMap<String, SecretSource>,
}

impl Secrets {
    /// The secrets that a build may use.
    pub fn new(secrets: &[BuildSecret]) -> Self {
        Self { by_id: secrets.iter().map(|secret| (secret.id.clone(), secret.source.clone())).collect() }
    }

    async fn read(&self, id: &str) -> Result<Vec<u8>, Status> {
        // Newer engines ask for ids of their own as well (`HTTP_AUTH_HEADER_…`): "not found" is the right answer.
        let source = self.by_id.get(id).ok_or_else(|| Status::not_found(format!("secret {id}: not found")))?;
        let data = match source {
            SecretSource::Value(value) => value.expose().as_bytes().to_vec(),
            SecretSource::File(path) => read_limited(path).await.map_err(|error| {
                Status::failed_precondition(format!("read the secret {id} from {}: {error}", path.display()))
            })?,
        };
        if data.len() > MAX_SECRET {
            return Err(Status::failed_precondition(format!("secret {id} is larger than {MAX_SECRET} bytes")));
        }
        Ok(data)
    }
}

async fn read_limited(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let limit = u64::try_from(MAX_SECRET).unwrap_or(u64::MAX).saturating_add(1);
    tokio::fs::File::open(path).await?.take(limit).read_to_end(&mut data).await?;
    Ok(data)
}

#[async_trait]
impl secrets_server::Secrets for Secrets {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let data = self.read(&request.get_ref().id).await?;
        Ok(Response::new(GetSecretResponse { data }))
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::{MAX_SECRET, Secrets};
    use crate::project::target::{BuildSecret, SecretSource};
    use crate::secret::Secret;

    fn secret(id: &str, source: SecretSource) -> BuildSecret {
        BuildSecret { id: id.to_owned(), source }
    }

    #[tokio::test]
    async fn values_files_and_what_is_absent() {
        let directory = tempfile::tempdir().unwrap();
        let small = directory.path().join("small");
        let large = directory.path().join("large");
        std::fs::write(&small, [0, 255, 10]).unwrap();
        std::fs::write(&large, vec![b'x'; MAX_SECRET + 1]).unwrap();
        let secrets = Secrets::new(&[
            secret("value", SecretSource::Value(Secret::new("hunter2"))),
            secret("file", SecretSource::File(small)),
            secret("large", SecretSource::File(large)),
            secret("gone", SecretSource::File(directory.path().join("gone"))),
        ]);
        assert_eq!(secrets.read("value").await.unwrap(), b"hunter2");
        assert_eq!(secrets.read("file").await.unwrap(), [0, 255, 10]);
        assert_eq!(secrets.read("absent").await.unwrap_err().code(), Code::NotFound);
        for id in ["large", "gone"] {
            assert_eq!(secrets.read(id).await.unwrap_err().code(), Code::FailedPrecondition);
        }
    }
}
