//! Receives the file that an exporter writes (`moby.filesync.v1.FileSend`): the archive of an image, as it is made.
//!
//! The builder sends chunks of at most 3 MiB, ends its side, and waits for ours to end (`session/filesync/diffcopy.go`): its
//! solve succeeds only after whoever takes the file has said that it arrived.

use std::io;
use std::pin::Pin;

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming};

/// Methods that the session announces.
pub(super) const METHODS: [&str; 1] = ["/moby.filesync.v1.FileSend/DiffCopy"];

/// So many chunks wait between the builder and whoever takes them.
const CHUNKS: usize = 2;

/// The session service that takes files.
#[derive(Debug, Clone)]
pub struct FileReceiver(mpsc::Sender<SentFile>);

/// Files that a builder sends, each as soon as it begins to.
#[derive(Debug)]
pub struct SentFiles(mpsc::Receiver<SentFile>);

/// A file that is being sent.
#[derive(Debug)]
pub struct SentFile {
    chunks: mpsc::Receiver<Chunk>,
    arrived: oneshot::Sender<Result<(), String>>,
}

/// A part of a file, its end, or why there will be none.
#[derive(Debug)]
enum Chunk {
    Data(Bytes),
    End,
    Broken(Status),
}

impl FileReceiver {
    /// The service, and the files that it will be sent.
    pub fn new() -> (Self, SentFiles) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), SentFiles(receiver))
    }
}

impl SentFiles {
    /// The next file; nothing once the session is over.
    pub async fn next(&mut self) -> Option<SentFile> {
        self.0.recv().await
    }
}

impl SentFile {
    /// Its bytes, and the one who must be told that it arrived.
    pub fn into_parts(self) -> (impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static, Arrival) {
        (bytes(self.chunks), Arrival(self.arrived))
    }
}

/// Tells the builder what became of a file. If it is dropped, the file was given up.
#[derive(Debug)]
pub struct Arrival(oneshot::Sender<Result<(), String>>);

impl Arrival {
    /// The file arrived, or why it did not.
    pub fn tell(self, result: Result<(), String>) {
        // A builder that does not wait any more needs no answer.
        let _ = self.0.send(result);
    }
}

/// The bytes of a file. One that is cut short ends in an error, so that nobody takes it for a whole one.
fn bytes(chunks: mpsc::Receiver<Chunk>) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    stream::unfold(Some(chunks), |chunks| async {
        let mut chunks = chunks?;
        match chunks.recv().await {
            Some(Chunk::Data(data)) => Some((Ok(data), Some(chunks))),
            Some(Chunk::End) => None,
            Some(Chunk::Broken(status)) => Some((Err(io::Error::other(status)), None)),
            None => Some((Err(io::Error::from(io::ErrorKind::UnexpectedEof)), None)),
        }
    })
}

#[tonic::async_trait]
impl FileSend for FileReceiver {
    type DiffCopyStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let (arrived, arrival) = oneshot::channel();
        let nobody = |_| Status::aborted("nobody takes the file");
        self.0.send(SentFile { chunks, arrived }).await.map_err(nobody)?;
        let answer = stream::once(async move {
            pass_on(request.into_inner(), &sender).await;
            match arrival.await {
                Ok(Ok(())) => None,
                // Not "already exists": the builder takes that for a success.
                Ok(Err(reason)) => Some(Err(Status::internal(reason))),
                Err(_) => Some(Err(Status::aborted("the file was given up"))),
            }
        });
        Ok(Response::new(Box::pin(futures_util::StreamExt::filter_map(answer, std::future::ready))))
    }
}

/// Passes the builder's chunks on, as fast as they are taken, until either side ends.
async fn pass_on(mut sent: Streaming<BytesMessage>, to: &mpsc::Sender<Chunk>) {
    loop {
        let chunk = match sent.message().await {
            Ok(Some(message)) => Chunk::Data(message.data.into()),
            Ok(None) => Chunk::End,
            Err(status) => Chunk::Broken(status),
        };
        let more = matches!(chunk, Chunk::Data(_));
        if to.send(chunk).await.is_err() || !more {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::{Bytes, Chunk, Status, bytes, mpsc};

    async fn received(chunks: Vec<Chunk>) -> Vec<Result<Bytes, String>> {
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        for chunk in chunks {
            sender.try_send(chunk).unwrap();
        }
        drop(sender);
        bytes(receiver).map(|chunk| chunk.map_err(|error| error.to_string())).collect().await
    }

    #[tokio::test]
    async fn a_file_that_is_cut_short_is_no_whole_one() {
        let data = || Chunk::Data(Bytes::from_static(b"x"));
        let x = || Ok(Bytes::from_static(b"x"));
        assert_eq!(received(vec![data(), data(), Chunk::End]).await, [x(), x()]);
        assert_eq!(received(vec![data()]).await, [x(), Err("unexpected end of file".to_owned())]);
        let broken = received(vec![data(), Chunk::Broken(Status::cancelled("gone"))]).await;
        assert!(matches!(broken.as_slice(), [Ok(_), Err(error)] if error.contains("gone")), "{broken:?}");
    }
}
