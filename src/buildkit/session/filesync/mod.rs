//! FileSync: sends the build context to the builder (`moby.filesync.v1.FileSync`, fsutil's wire protocol).
use bollard_buildkit_proto::{fsutil::types::Packet, moby::filesync::v1::file_sync_server::FileSync};
use tonic::{Request, Response, Status, Streaming};
pub struct FileSyncService;
#[tonic::async_trait]
impl FileSync for FileSyncService {
    type DiffCopyStream = tokio_stream::Empty<Result<Packet, Status>>;
    async fn diff_copy(&self, _: Request<Streaming<Packet>>) -> Result<Response<Self::DiffCopyStream>, Status> {
        Err(Status::unimplemented(""))
    }
    type TarStreamStream = tokio_stream::Empty<Result<Packet, Status>>;
    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
