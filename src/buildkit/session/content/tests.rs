//! The service, called by a real gRPC client.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::store::{MAX_BLOB, digest_of};
use super::wire::{
    self, AbortRequest, Action, Empty, InfoRequest, InfoResponse, ReadRequest, ReadResponse, StatusRequest,
    StatusResponse, WriteRequest, WriteResponse,
};
use super::{ContentServer, ContentStore, ContentStores};

/// A client as the builder's (`core/content/proxy`), which names the store `records`.
struct Client(Grpc<Channel>);

impl Client {
    async fn of(store: &ContentStore) -> Self {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let server = ContentServer(ContentStores::default().with("records", store.clone()));
        let incoming = tokio_stream::once(Ok::<_, std::io::Error>(theirs));
        tokio::spawn(Server::builder().add_service(server).serve_with_incoming(incoming));
        let mut ours = Some(TokioIo::new(ours));
        let connector = tower::service_fn(move |_: Uri| std::future::ready(ours.take().ok_or("one connection only")));
        Self(Grpc::new(Endpoint::from_static("http://builder").connect_with_connector(connector).await.unwrap()))
    }

    async fn ask<Q, A>(&mut self, method: &'static str, request: Request<Q>) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.0.ready().await.unwrap();
        let path = PathAndQuery::from_static(method);
        Ok(self.0.unary(request, path, ProstCodec::default()).await?.into_inner())
    }

    async fn info(&mut self, digest: &str) -> Result<i64, Status> {
        let answer: InfoResponse = self.ask(wire::INFO, named(InfoRequest { digest: digest.to_owned() })).await?;
        Ok(answer.info.unwrap().size)
    }

    async fn status(&mut self, r#ref: &str) -> Result<i64, Status> {
        let request = named(StatusRequest { r#ref: r#ref.to_owned() });
        let answer: StatusResponse = self.ask(wire::STATUS, request).await?;
        Ok(answer.status.unwrap().offset)
    }

    async fn read(&mut self, digest: &str, offset: i64, size: i64) -> Result<Vec<ReadResponse>, Status> {
        self.0.ready().await.unwrap();
        let request = named(ReadRequest { digest: digest.to_owned(), offset, size });
        let path = PathAndQuery::from_static(wire::READ);
        let answers = self.0.server_streaming(request, path, ProstCodec::default()).await?.into_inner();
        answers.collect::<Vec<_>>().await.into_iter().collect()
    }

    /// Sends messages, the next one after the answer to the last.
    async fn write(&mut self, messages: &[WriteRequest]) -> Result<Vec<WriteResponse>, Status> {
        self.0.ready().await.unwrap();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let request = named(ReceiverStream::new(receiver));
        let path = PathAndQuery::from_static(wire::WRITE);
        let mut answers = self.0.streaming(request, path, ProstCodec::default()).await?.into_inner();
        let mut all = Vec::new();
        for message in messages {
            if sender.send(message.clone()).await.is_ok() {
                all.extend(answers.message().await?);
            }
        }
        Ok(all)
    }
}

fn named<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(super::STORE_ID, "local:records".parse().unwrap());
    request
}

fn stat(r#ref: &str, total: usize, expected: &str) -> WriteRequest {
    let (r#ref, expected) = (r#ref.to_owned(), expected.to_owned());
    WriteRequest { r#ref, expected, total: i64::try_from(total).unwrap(), ..WriteRequest::default() }
}

fn data(action: Action, offset: i64, data: &[u8]) -> WriteRequest {
    WriteRequest { action: action.into(), offset, data: Bytes::copy_from_slice(data), ..WriteRequest::default() }
}

/// As `content.WriteBlob` does it.
fn blob(content: &[u8]) -> Vec<WriteRequest> {
    let digest = digest_of(content);
    let (first, second) = content.split_at(content.len() / 2);
    let middle = i64::try_from(first.len()).unwrap();
    let end =
        WriteRequest { total: i64::try_from(content.len()).unwrap(), expected: digest.clone(), ..stat("", 0, "") };
    vec![
        stat(&digest, content.len(), &digest),
        data(Action::Write, 0, first),
        data(Action::Write, middle, second),
        WriteRequest { action: Action::Commit.into(), offset: end.total, ..end },
    ]
}

#[tokio::test]
async fn blobs_are_read_in_any_part_and_in_small_messages() {
    let content: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[1]).collect();
    let digest = digest_of(&content);
    let store = ContentStore::serving([(digest.clone(), content.clone().into())]);
    let mut client = Client::of(&store).await;
    assert_eq!(client.info(&digest).await.unwrap(), 200_000);
    for (offset, size, expected) in [
        (0, 0, 0..200_000),
        (0, 10, 0..10),
        (65_536, 65_536, 65_536..131_072),
        (199_999, 65_536, 199_999..200_000),
        (200_000, 1, 200_000..200_000),
        (7, i64::MAX, 7..200_000),
    ] {
        let messages = client.read(&digest, offset, size).await.unwrap();
        let mut at = usize::try_from(offset).unwrap();
        for message in &messages {
            assert_eq!(message.offset, i64::try_from(at).unwrap());
            assert!(!message.data.is_empty() && message.data.len() <= 64 << 10);
            at += message.data.len();
        }
        let read: Vec<u8> = messages.iter().flat_map(|message| message.data.to_vec()).collect();
        assert!(read == content[expected], "{offset} {size}");
    }
    assert_eq!(store.served_bytes(), 200_000 + 10 + 65_536 + 1 + 199_993);
    for (offset, size) in [(-1, 1), (0, -1), (200_001, 0), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX)] {
        assert_eq!(client.read(&digest, offset, size).await.unwrap_err().code(), Code::OutOfRange, "{offset} {size}");
    }
}

#[tokio::test]
async fn the_first_missing_blob_is_told_to_whoever_waits() {
    let store = ContentStore::serving([]);
    let mut client = Client::of(&store).await;
    let (first, second) = (digest_of(b"first"), digest_of(b"second"));
    assert_eq!(client.info("no digest").await.unwrap_err().code(), Code::NotFound);
    // A wait that was given up takes nothing away from the next.
    tokio::time::timeout(Duration::from_millis(1), store.asked_for_missing()).await.unwrap_err();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.asked_for_missing().await }
    });
    assert_eq!(client.info(&first).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.read(&second, 0, 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap().digest, first);
    assert_eq!(store.asked_for_missing().await.digest, first);
}

#[tokio::test]
async fn a_request_names_its_store() {
    let content = Bytes::from_static(b"{}");
    let digest = digest_of(&content);
    let mut client = Client::of(&ContentStore::serving([(digest.clone(), content)])).await;
    for (name, code) in [
        (Some("local:records"), Code::Ok),
        (Some("local:other"), Code::NotFound),
        (Some("records"), Code::NotFound),
        (None, Code::InvalidArgument),
    ] {
        let mut request = Request::new(InfoRequest { digest: digest.clone() });
        if let Some(name) = name {
            request.metadata_mut().insert(super::STORE_ID, name.parse().unwrap());
        }
        let answer: Result<InfoResponse, Status> = client.ask(wire::INFO, request).await;
        assert_eq!(answer.map_or_else(|status| status.code(), |_| Code::Ok), code, "{name:?}");
    }
}

#[tokio::test]
async fn a_blob_is_written_as_the_builder_writes_it() {
    let store = ContentStore::accepting();
    let mut client = Client::of(&store).await;
    let content = b"a manifest".as_slice();
    let digest = digest_of(content);
    let answers = client.write(&blob(content)).await.unwrap();
    assert_eq!(answers.iter().map(|answer| answer.offset).collect::<Vec<_>>(), [0, 5, 10, 10]);
    assert!(answers.iter().all(|answer| answer.total == 10));
    assert_eq!(answers[3].digest, digest);
    assert_eq!(store.written(), BTreeMap::from([(digest.clone(), Bytes::from_static(b"a manifest"))]));
    assert_eq!(client.write(&blob(content)).await.unwrap_err().code(), Code::AlreadyExists);
    // What it takes it does not give.
    assert_eq!(client.info(&digest).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.read(&digest, 0, 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.status(&digest).await.unwrap_err().code(), Code::NotFound);
    let _: Empty = client.ask(wire::ABORT, named(AbortRequest { r#ref: digest })).await.unwrap();
}

#[tokio::test]
async fn a_write_at_offset_0_begins_again() {
    let store = ContentStore::accepting();
    let digest = digest_of(b"right");
    let mut messages = vec![stat(&digest, 0, ""), data(Action::Write, 0, b"wrong and long")];
    messages.extend([data(Action::Write, 0, b"ri"), data(Action::Commit, 2, b"ght"), data(Action::Write, 5, b"!")]);
    Client::of(&store).await.write(&messages).await.unwrap();
    assert_eq!(store.written().get(&digest).map(Bytes::as_ref), Some(b"right".as_slice()));
}

#[tokio::test]
async fn wrong_writes_are_refused_and_leave_nothing() {
    let (good, other) = (digest_of(b"good"), digest_of(b"other"));
    let layer = format!("layer-{good}");
    let open = |total: i64| WriteRequest { total, ..stat(&good, 0, &good) };
    for (messages, code) in [
        (vec![stat(&layer, 4, &good)], Code::AlreadyExists),
        (vec![stat("", 4, &good)], Code::InvalidArgument),
        (vec![stat("sha256:12", 4, "")], Code::InvalidArgument),
        (vec![stat(&good.to_uppercase(), 4, "")], Code::InvalidArgument),
        (vec![stat(&good, 4, &other)], Code::FailedPrecondition),
        (vec![open(-1)], Code::ResourceExhausted),
        (vec![open(i64::MAX)], Code::ResourceExhausted),
        (vec![open(0), stat(&other, 0, "")], Code::InvalidArgument),
        (vec![open(0), WriteRequest { action: 3, ..data(Action::Write, 0, b"") }], Code::InvalidArgument),
        (vec![open(0), data(Action::Write, 1, b"good")], Code::OutOfRange),
        (vec![open(0), data(Action::Write, -1, b"good")], Code::OutOfRange),
        (vec![open(0), data(Action::Commit, 0, b"evil")], Code::FailedPrecondition),
        (vec![open(5), data(Action::Commit, 0, b"good")], Code::FailedPrecondition),
    ] {
        let store = ContentStore::accepting();
        let mut client = Client::of(&store).await;
        assert_eq!(client.write(&messages).await.unwrap_err().code(), code, "{messages:?}");
        assert_eq!(store.written(), BTreeMap::new());
        assert_eq!(client.status(&good).await.unwrap_err().code(), Code::NotFound);
        client.write(&blob(b"good")).await.unwrap();
    }
    let mut client = Client::of(&ContentStore::serving([])).await;
    assert_eq!(client.write(&blob(b"good")).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_builder_cannot_fill_the_memory() {
    let store = ContentStore::accepting();
    let mut client = Client::of(&store).await;
    let digest = digest_of(b"large");
    let mut messages = vec![stat(&digest, 0, "")];
    let part = vec![0; 1 << 20];
    messages.extend((0..4_i64).map(|i| data(Action::Write, i << 20, &part)));
    client.write(&messages).await.unwrap();
    messages.push(data(Action::Write, i64::try_from(MAX_BLOB).unwrap(), b"!"));
    assert_eq!(client.write(&messages).await.unwrap_err().code(), Code::ResourceExhausted);

    let blobs: Vec<Vec<u8>> = (0..17).map(|i| format!("blob {i}").into_bytes()).collect();
    for content in &blobs[..15] {
        client.write(&blob(content)).await.unwrap();
    }
    // Open writes count as well, and no two of them are for the same blob.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(stat(&digest_of(&blobs[15]), 0, "")).await.unwrap();
    let path = PathAndQuery::from_static(wire::WRITE);
    client.0.ready().await.unwrap();
    let open = client.0.streaming(named(ReceiverStream::new(receiver)), path, ProstCodec::default()).await;
    let mut open: tonic::Streaming<WriteResponse> = open.unwrap().into_inner();
    open.message().await.unwrap();
    assert_eq!(client.status(&digest_of(&blobs[15])).await.unwrap(), 0);
    assert_eq!(client.write(&blob(&blobs[15])).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.write(&blob(&blobs[16])).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(store.written().len(), 15);
    drop((sender, open));
    while client.status(&digest_of(&blobs[15])).await.is_ok() {
        tokio::task::yield_now().await;
    }
    client.write(&blob(&blobs[16])).await.unwrap();
    assert_eq!(store.written().len(), 16);
}
