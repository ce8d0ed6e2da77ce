//! The gRPC side of the content service.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::store::StoreError;
use super::wire::{
    AbortRequest, Empty, Info, InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse, StatusRequest,
    StatusResponse, WriteAction, WriteContentRequest, WriteContentResponse,
};
use super::{ContentStore, ContentStores};

/// Which store a request is about (`session/content/attachable.go`).
const STORE_KEY: &str = "buildkit-attachable-store-id";
/// BuildKit's prefix of the names of stores that its `local` cache uses.
const STORE_PREFIX: &str = "local:";
/// Bytes of one message of a read.
const CHUNK: usize = 64 << 10;

/// The service.
#[derive(Debug, Clone)]
pub struct ContentService(ContentStores);

impl ContentService {
    /// Serves these stores.
    pub fn new(stores: ContentStores) -> Self {
        Self(stores)
    }

    fn store<T>(&self, request: &Request<T>) -> Result<ContentStore, Status> {
        let name = request.metadata().get(STORE_KEY).and_then(|name| name.to_str().ok()).unwrap_or_default();
        let store = self.0.get(name.strip_prefix(STORE_PREFIX).unwrap_or(name));
        store.cloned().ok_or_else(|| Status::not_found(format!("unknown store {name:?}")))
    }
}

impl NamedService for ContentService {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl tonic::codegen::Service<http::Request<Body>> for ContentService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let service = self.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "Info" => Grpc::new(ProstCodec::default()).unary(InfoMethod(service), request).await,
                "Status" => Grpc::new(ProstCodec::default()).unary(StatusMethod, request).await,
                "Abort" => Grpc::new(ProstCodec::default()).unary(AbortMethod(service), request).await,
                "Read" => Grpc::new(ProstCodec::default()).server_streaming(ReadMethod(service), request).await,
                "Write" => Grpc::new(ProstCodec::default()).streaming(WriteMethod(service), request).await,
                _ => Status::unimplemented("not a method of this content store").into_http(),
            })
        })
    }
}

struct InfoMethod(ContentService);

impl UnaryService<InfoRequest> for InfoMethod {
    type Response = InfoResponse;
    type Future = Ready<Result<Response<InfoResponse>, Status>>;

    fn call(&mut self, request: Request<InfoRequest>) -> Self::Future {
        ready(self.0.store(&request).and_then(|store| {
            let digest = request.into_inner().digest;
            let size = store.size(&digest).map_err(|error| status(error, &digest))?;
            let info = Info { digest, size: i64::try_from(size).unwrap_or(i64::MAX), ..Info::default() };
            Ok(Response::new(InfoResponse { info: Some(info) }))
        }))
    }
}

/// The builder asks whether it can go on with a write of before: there is never one.
struct StatusMethod;

impl UnaryService<StatusRequest> for StatusMethod {
    type Response = StatusResponse;
    type Future = Ready<Result<Response<StatusResponse>, Status>>;

    fn call(&mut self, request: Request<StatusRequest>) -> Self::Future {
        ready(Err(status(StoreError::NotFound, &request.into_inner().r#ref)))
    }
}

struct AbortMethod(ContentService);

impl UnaryService<AbortRequest> for AbortMethod {
    type Response = Empty;
    type Future = Ready<Result<Response<Empty>, Status>>;

    fn call(&mut self, request: Request<AbortRequest>) -> Self::Future {
        ready(self.0.store(&request).map(|store| {
            store.abort(&request.into_inner().r#ref);
            Response::new(Empty {})
        }))
    }
}

struct ReadMethod(ContentService);

impl ServerStreamingService<ReadContentRequest> for ReadMethod {
    type Response = ReadContentResponse;
    type ResponseStream = BoxStream<'static, Result<ReadContentResponse, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<ReadContentRequest>) -> Self::Future {
        ready(self.0.store(&request).and_then(|store| {
            let ReadContentRequest { digest, offset, size } = request.into_inner();
            let mut part = store.read(&digest, offset, size).map_err(|error| status(error, &digest))?;
            let mut offset = offset;
            let chunks = std::iter::from_fn(move || {
                let data = part.split_to(part.len().min(CHUNK));
                let at = offset;
                offset = offset.saturating_add(i64::try_from(data.len()).unwrap_or_default());
                (!data.is_empty()).then(|| Ok(ReadContentResponse { offset: at, data: data.to_vec() }))
            });
            Ok(Response::new(stream::iter(chunks).boxed()))
        }))
    }
}

struct WriteMethod(ContentService);

impl StreamingService<WriteContentRequest> for WriteMethod {
    type Response = WriteContentResponse;
    type ResponseStream = BoxStream<'static, Result<WriteContentResponse, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<WriteContentRequest>>) -> Self::Future {
        ready(self.0.store(&request).map(|store| Response::new(writing(store, request.into_inner()).boxed())))
    }
}

/// Answers every message of a write, until one is refused (`content.proto`, `rpc Write`).
fn writing(
    store: ContentStore,
    requests: Streaming<WriteContentRequest>,
) -> impl Stream<Item = Result<WriteContentResponse, Status>> {
    stream::unfold(Some((store, requests, String::new())), |open| async move {
        let (store, mut requests, mut reference) = open?;
        let message = match requests.message().await {
            Ok(message) => message?,
            Err(status) => return Some((Err(status), None)),
        };
        if !message.r#ref.is_empty() {
            reference.clone_from(&message.r#ref);
        }
        match answer(&store, &reference, &message) {
            Ok(answer) => Some((Ok(answer), Some((store, requests, reference)))),
            Err(error) => {
                let what = if message.expected.is_empty() { &reference } else { &message.expected };
                Some((Err(status(error, what)), None))
            }
        }
    })
}

fn answer(
    store: &ContentStore,
    reference: &str,
    message: &WriteContentRequest,
) -> Result<WriteContentResponse, StoreError> {
    let WriteContentRequest { expected, total, offset, data, .. } = message;
    let action = message.action();
    let (digest, written) = match action {
        WriteAction::Stat => (String::new(), store.stat(reference, expected)?),
        WriteAction::Write => (String::new(), store.write(reference, *offset, data)?),
        WriteAction::Commit => {
            // A commit may bring the last bytes with it.
            if !data.is_empty() {
                store.write(reference, *offset, data)?;
            }
            store.commit(reference, expected, *total)?
        }
    };
    let offset = i64::try_from(written).unwrap_or(i64::MAX);
    Ok(WriteContentResponse { action: action.into(), offset, total: *total, digest })
}

fn status(error: StoreError, what: &str) -> Status {
    let code = match error {
        StoreError::NotFound => Code::NotFound,
        StoreError::AlreadyExists => Code::AlreadyExists,
        StoreError::ReadOnly => Code::FailedPrecondition,
        StoreError::OutOfRange => Code::OutOfRange,
        StoreError::TooMuch => Code::ResourceExhausted,
        StoreError::WrongDigest => Code::InvalidArgument,
    };
    Status::new(code, format!("content {what}: {error}"))
}
