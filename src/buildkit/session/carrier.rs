//! Carries the session's byte stream to the builder.

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::{Code, Request, Status, Streaming};

use crate::buildkit::connection::Connection;
use crate::buildkit::error::BuildKitError;
use crate::buildkit::stream::SessionStream;

/// One message holds as much as this; the daemon's side uses 32 KiB, larger ones halve the work.
const CHUNK: usize = 64 << 10;
const BUFFER: usize = 512 << 10;

const SESSION_ID: &str = "x-docker-expose-session-uuid";
const SESSION_NAME: &str = "x-docker-expose-session-name";
const SHARED_KEY: &str = "x-docker-expose-session-sharedkey";
const METHOD: &str = "x-docker-expose-session-grpc-method";

/// Opens the stream on which the session is served.
pub(super) async fn open(
    connection: &Connection,
    id: &str,
    shared_key: &str,
    methods: &[&'static str],
) -> Result<SessionStream, BuildKitError> {
    match by_control(connection, id, shared_key, methods).await {
        Ok(stream) => Ok(stream),
        Err(status) if status.code() == Code::Unimplemented && connection.has_session_endpoint() => {
            tracing::debug!(%status, "Control.Session is not offered: the session goes by /session");
            let mut headers = vec![
                (SESSION_ID, id.to_owned()),
                (SESSION_NAME, "watchparty-cache".to_owned()),
                (SHARED_KEY, shared_key.to_owned()),
            ];
            headers.extend(methods.iter().map(|method| (METHOD, (*method).to_owned())));
            connection.hijack_session(&headers).await
        }
        Err(status) => Err(BuildKitError::Session(Box::new(status))),
    }
}

async fn by_control(
    connection: &Connection,
    id: &str,
    shared_key: &str,
    methods: &[&'static str],
) -> Result<SessionStream, Status> {
    let (outbound, receiver) = mpsc::channel::<BytesMessage>(16);
    let mut request = Request::new(ReceiverStream::new(receiver));
    let metadata = request.metadata_mut();
    for (key, value) in [(SESSION_ID, id), (SESSION_NAME, "watchparty-cache"), (SHARED_KEY, shared_key)] {
        metadata.insert(AsciiMetadataKey::from_static(key), ascii(value)?);
    }
    for method in methods {
        metadata.append(AsciiMetadataKey::from_static(METHOD), ascii(method)?);
    }
    let inbound = connection.control().session(request).await?.into_inner();
    let (ours, carried) = tokio::io::duplex(BUFFER);
    carry(carried, outbound, inbound);
    Ok(SessionStream::new(ours))
}

fn ascii(value: &str) -> Result<AsciiMetadataValue, Status> {
    value.parse().map_err(|_error| Status::invalid_argument(format!("'{value}' is not printable ASCII")))
}

/// Copies both ways until either side ends. The tasks end with the stream: nobody has to wait for them.
fn carry(stream: DuplexStream, outbound: mpsc::Sender<BytesMessage>, mut inbound: Streaming<BytesMessage>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::spawn(async move {
        loop {
            let mut data = Vec::with_capacity(CHUNK);
            match reader.read_buf(&mut data).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            if outbound.send(BytesMessage { data }).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = inbound.next().await {
            if writer.write_all(&message.data).await.is_err() {
                break;
            }
        }
        // Reading at the other end must see the end, else the session would outlive its carrier.
        let _ = writer.shutdown().await;
    });
}
