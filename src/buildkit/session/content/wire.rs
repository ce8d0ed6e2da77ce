//! The messages of `containerd.services.content.v1` that a builder exchanges with a client's content store.
//!
//! By hand, as far as BuildKit uses them (`api/services/content/v1/content.proto` of containerd): generating them would
//! cost every build of this crate a compiler for protocol buffers.

use std::collections::HashMap;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Info {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) size: i64,
    #[prost(map = "string, string", tag = "5")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InfoRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadContentRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) offset: i64,
    /// 0 is everything.
    #[prost(int64, tag = "3")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadContentResponse {
    #[prost(int64, tag = "1")]
    pub(super) offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(super) r#ref: String,
}

/// Never answered with content: what is being written is told in the write's own answers.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AbortRequest {
    #[prost(string, tag = "1")]
    pub(super) r#ref: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Empty {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum WriteAction {
    Stat = 0,
    Write = 1,
    Commit = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteContentRequest {
    #[prost(enumeration = "WriteAction", tag = "1")]
    pub(super) action: i32,
    #[prost(string, tag = "2")]
    pub(super) r#ref: String,
    #[prost(int64, tag = "3")]
    pub(super) total: i64,
    #[prost(string, tag = "4")]
    pub(super) expected: String,
    #[prost(int64, tag = "5")]
    pub(super) offset: i64,
    #[prost(bytes = "vec", tag = "6")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteContentResponse {
    #[prost(enumeration = "WriteAction", tag = "1")]
    pub(super) action: i32,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) total: i64,
    #[prost(string, tag = "6")]
    pub(super) digest: String,
}
