//! The builder's cache records: list them, prune them (`Control.DiskUsage`, `Control.Prune`).

use bollard_buildkit_proto::moby::buildkit::v1::{DiskUsageRequest, PruneRequest};
use chrono::{DateTime, Utc};

use super::connection::Connection;
use super::error::BuildKitError;

/// One record of the builder's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The builder's id of it.
    pub id: String,
    /// Bytes on disk; shared records count their layer, which an image holds as well.
    pub size: u64,
    /// Whether a build uses it right now; such a record cannot be removed.
    pub in_use: bool,
    /// Whether an image holds the same layer, so that removing the record alone frees nothing.
    pub shared: bool,
    /// `regular`, `source.local`, `exec.cachemount`, `frontend`, `internal`, …
    pub kind: String,
    /// What made it, in the builder's words, as `[2/3] COPY . /src`. Not masked.
    pub description: String,
}

/// A record, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// The record.
    pub record: Record,
    /// The time, by the builder's clock. What was imported has the time of before, where its cache told it
    /// (`labelCreatedAt` in BuildKit's `worker/base/worker.go`).
    pub created_at: Option<DateTime<Utc>>,
}

/// What a prune removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Records.
    pub records: u64,
    /// Their bytes, in the builder's figures.
    pub bytes: u64,
}

/// Every record, internal and frontend ones included.
pub async fn records(connection: &Connection) -> Result<Vec<Record>, BuildKitError> {
    Ok(dated(connection).await?.into_iter().map(|dated| dated.record).collect())
}

/// Every record, with the time at which it was made.
pub async fn dated(connection: &Connection) -> Result<Vec<Dated>, BuildKitError> {
    let response = connection.control().disk_usage(DiskUsageRequest::default()).await;
    let response = response.map_err(|status| call("list its cache records", status))?;
    let time = |seconds, nanos| DateTime::from_timestamp(seconds, u32::try_from(nanos).ok()?);
    let records = response.into_inner().record.into_iter().map(|record| Dated {
        created_at: record.created_at.and_then(|at| time(at.seconds, at.nanos)),
        record: Record {
            id: record.id,
            size: u64::try_from(record.size).unwrap_or_default(),
            in_use: record.in_use,
            shared: record.shared,
            kind: record.record_type,
            description: record.description,
        },
    });
    Ok(records.collect())
}

/// Prunes everything that nobody uses: `all`, without a filter, so that cache mounts, internal and frontend records go
/// as well. One pass leaves the parents of what it removed; the caller repeats until nothing goes any more.
pub async fn prune_all(connection: &Connection) -> Result<Pruned, BuildKitError> {
    let request = PruneRequest { all: true, ..PruneRequest::default() };
    let response = connection.control().prune(request).await.map_err(|status| call("prune its cache", status))?;
    let mut stream = response.into_inner();
    let mut pruned = Pruned::default();
    while let Some(record) = stream.message().await.map_err(|status| call("prune its cache", status))? {
        pruned.records = pruned.records.saturating_add(1);
        pruned.bytes = pruned.bytes.saturating_add(u64::try_from(record.size).unwrap_or_default());
    }
    Ok(pruned)
}

fn call(action: &'static str, status: tonic::Status) -> BuildKitError {
    BuildKitError::Call { action, source: Box::new(status) }
}
