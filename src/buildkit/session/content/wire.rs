//! The wire contract of `containerd.services.content.v1.Content`, as far as BuildKit's session cache calls it.
//!
//! Written by hand from containerd's `content.proto`: the crates that generate it would cost every build more than these
//! few messages.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prost::{Enumeration, Message};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::ContentStores;

pub(super) const INFO: &str = "/containerd.services.content.v1.Content/Info";
pub(super) const READ: &str = "/containerd.services.content.v1.Content/Read";
pub(super) const STATUS: &str = "/containerd.services.content.v1.Content/Status";
pub(super) const WRITE: &str = "/containerd.services.content.v1.Content/Write";
pub(super) const ABORT: &str = "/containerd.services.content.v1.Content/Abort";

#[derive(Clone, PartialEq, Message)]
pub(super) struct InfoRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<Info>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Info {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) offset: i64,
    /// 0: up to the end.
    #[prost(int64, tag = "3")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadResponse {
    #[prost(int64, tag = "1")]
    pub(super) offset: i64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(super) r#ref: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<IngestStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IngestStatus {
    #[prost(string, tag = "3")]
    pub(super) r#ref: String,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) total: i64,
    #[prost(string, tag = "6")]
    pub(super) expected: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
pub(super) enum Action {
    Stat = 0,
    Write = 1,
    Commit = 2,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(enumeration = "Action", tag = "1")]
    pub(super) action: i32,
    /// In the first message.
    #[prost(string, tag = "2")]
    pub(super) r#ref: String,
    /// 0: unknown.
    #[prost(int64, tag = "3")]
    pub(super) total: i64,
    /// Empty: unknown.
    #[prost(string, tag = "4")]
    pub(super) expected: String,
    #[prost(int64, tag = "5")]
    pub(super) offset: i64,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) data: Bytes,
    #[prost(map = "string, string", tag = "7")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteResponse {
    #[prost(enumeration = "Action", tag = "1")]
    pub(super) action: i32,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) total: i64,
    #[prost(string, tag = "6")]
    pub(super) digest: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AbortRequest {
    #[prost(string, tag = "1")]
    pub(super) r#ref: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

/// The gRPC server in front of the stores.
#[derive(Debug, Clone)]
pub(in super::super) struct ContentServer(pub(in super::super) ContentStores);

impl NamedService for ContentServer {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

impl Service<http::Request<Body>> for ContentServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let stores = self.0.clone();
        async move {
            Ok(match request.uri().path() {
                INFO => {
                    let answer = service_fn(|request: Request<InfoRequest>| ready(stores.info(&request)));
                    Grpc::new(ProstCodec::default()).unary(answer, request).await
                }
                READ => {
                    let answer = service_fn(|request: Request<ReadRequest>| ready(stores.read(&request)));
                    Grpc::new(ProstCodec::default()).server_streaming(answer, request).await
                }
                STATUS => {
                    let answer = service_fn(|request: Request<StatusRequest>| ready(stores.status(&request)));
                    Grpc::new(ProstCodec::default()).unary(answer, request).await
                }
                WRITE => {
                    let answer = service_fn(|request: Request<Streaming<WriteRequest>>| ready(stores.write(request)));
                    Grpc::new(ProstCodec::default()).streaming(answer, request).await
                }
                ABORT => {
                    let answer = service_fn(|request: Request<AbortRequest>| ready(stores.abort(&request)));
                    Grpc::new(ProstCodec::default()).unary(answer, request).await
                }
                _ => Status::unimplemented("this content store is not that of an engine").into_http(),
            })
        }
        .boxed()
    }
}
