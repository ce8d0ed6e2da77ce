//! One transfer: stats in the order of the walk, contents as they are asked for (fsutil's send.go).
//!
//! A walker thread announces the tree while the builder's requests already come in; a few reader threads answer them
//! and end when there is nothing to read. Everything goes through one bounded channel, so memory stays small whatever
//! the size of the context and however slow the builder is. Threads end when the call does.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tonic::Status;

use crate::patterns::{Filter, Walk};

use super::Transferred;
use super::catalogue::Catalogue;
use super::directory::{Directory, Source};
use super::error::SyncError;
use super::follow::{follow_links, without_nested};
use super::read;
use super::request::SyncRequest;
use super::stat::{Content, Stats};

/// Messages between the threads and the connection; each holds at most a batch.
const CHANNEL: usize = 8;
/// Stats sent at once: one wake-up of the connection for many small packets.
const STAT_BATCH: usize = 128;
/// Bytes of content sent at once, unless the queue of requests runs dry before.
const DATA_BATCH: usize = 256 * 1024;
/// fsutil reads with four; more only makes the order of reads worse.
const READERS: usize = 4;

/// What goes to the connection.
#[derive(Debug)]
pub(super) enum Message {
    Packets(Vec<Packet>),
    /// The last one.
    Failed {
        text: String,
        status: Status,
    },
}

impl Message {
    /// The packets of a message, and the end of the call after a failure.
    pub(super) fn into_packets(self) -> Vec<Result<Packet, Status>> {
        match self {
            Self::Packets(packets) => packets.into_iter().map(Ok).collect(),
            Self::Failed { text, status } => {
                let packet = Packet { data: text.into_bytes(), ..of_kind(PacketType::PacketErr) };
                vec![Ok(packet), Err(status)]
            }
        }
    }
}

/// Starts a transfer; it ends with the stream that is returned, or with what the builder sends.
pub(super) fn send(
    directory: Directory,
    request: SyncRequest,
    incoming: impl Stream<Item = Result<Packet, Status>> + Send + Unpin + 'static,
    transferred: Arc<Transferred>,
) -> mpsc::Receiver<Message> {
    let (out, messages) = mpsc::channel(CHANNEL);
    let transfer = Arc::new(Transfer {
        directory,
        request,
        out,
        catalogue: Mutex::default(),
        queue: Mutex::default(),
        transferred,
    });
    let walker = Arc::clone(&transfer);
    tokio::task::spawn_blocking(move || walker.announce());
    tokio::spawn(transfer.listen(incoming));
    messages
}

struct Transfer {
    directory: Directory,
    request: SyncRequest,
    out: mpsc::Sender<Message>,
    catalogue: Mutex<Catalogue>,
    queue: Mutex<Queue>,
    transferred: Arc<Transferred>,
}

#[derive(Default)]
struct Queue {
    /// Never longer than the catalogue: each entry can be asked for once.
    waiting: VecDeque<(u32, Content)>,
    readers: usize,
}

/// The call is over: nobody receives any more.
struct Gone;

enum Stop {
    Gone,
    Failed(SyncError),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl<E: Into<SyncError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Transfer {
    fn announce(&self) {
        let result = match self.directory.source() {
            Source::Disk { root, only } => self.announce_tree(root, only.as_deref()),
            Source::Memory { files, modified } => self.announce_files(files, *modified),
        };
        if let Err(Stop::Failed(error)) = result {
            let _ = self.out.blocking_send(self.failure(error));
        }
    }

    fn announce_tree(&self, root: &Path, only: Option<&[String]>) -> Result<(), Stop> {
        let mut filter = self.filter(root)?;
        if let Some(only) = only {
            let paths = follow_links(root, only)?;
            filter = if paths.is_empty() { filter } else { filter.only(paths) };
        }
        let mut stats = Stats::new(root.to_owned());
        let mut batch = Vec::with_capacity(STAT_BATCH);
        for entry in Walk::new(root.to_owned(), filter)? {
            let (stat, content) = stats.of(&entry?)?;
            self.lock_catalogue().add(&stat.path, content);
            batch.push(stat_packet(Some(stat)));
            if batch.len() >= STAT_BATCH {
                self.send_stats(std::mem::replace(&mut batch, Vec::with_capacity(STAT_BATCH)))?;
            }
        }
        batch.push(stat_packet(None));
        Ok(self.send_stats(batch)?)
    }

    fn announce_files(&self, files: &BTreeMap<String, Bytes>, modified: i64) -> Result<(), Stop> {
        let filter = Filter::new(&self.request.include, &self.request.exclude)?;
        let follow = &self.request.follow;
        let followed = if follow.is_empty() { None } else { Some(Filter::new(follow, &[])?) };
        let mut batch = Vec::new();
        for (name, content) in files {
            let asked_for = followed.as_ref().map_or(Ok(true), |followed| followed.shows_file(name))?;
            if asked_for && filter.shows_file(name)? {
                self.lock_catalogue().add(name, Content::File);
                batch.push(stat_packet(Some(Stat {
                    path: name.clone(),
                    mode: 0o644,
                    size: i64::try_from(content.len()).unwrap_or(i64::MAX),
                    mod_time: modified,
                    ..Stat::default()
                })));
            }
        }
        batch.push(stat_packet(None));
        Ok(self.send_stats(batch)?)
    }

    /// The builder's patterns; a followed path joins the include patterns (fsutil's `NewFilterFS`).
    fn filter(&self, root: &Path) -> Result<Filter, SyncError> {
        let SyncRequest { include, exclude, follow, .. } = &self.request;
        if follow.is_empty() {
            return Ok(Filter::new(include, exclude)?);
        }
        let followed = follow_links(root, follow)?;
        if followed.is_empty() {
            return Ok(Filter::new(include, exclude)?);
        }
        let include = without_nested(include.iter().chain(&followed).map(String::as_str));
        Ok(Filter::new(&include, exclude)?)
    }

    fn send_stats(&self, batch: Vec<Packet>) -> Result<(), Gone> {
        self.transferred.count_stats(batch.iter().filter(|packet| packet.stat.is_some()).count());
        self.out.blocking_send(Message::Packets(batch)).map_err(|_| Gone)
    }

    /// Goes on until the builder is done, fails, or is gone.
    async fn listen(self: Arc<Self>, mut incoming: impl Stream<Item = Result<Packet, Status>> + Unpin) {
        loop {
            let packet = tokio::select! {
                packet = incoming.next() => packet,
                () = self.out.closed() => return,
            };
            let error = match packet {
                None | Some(Err(_)) => SyncError::Closed,
                Some(Ok(packet)) => match PacketType::try_from(packet.r#type) {
                    Ok(PacketType::PacketReq) => match self.enqueue(packet.id) {
                        Ok(()) => continue,
                        Err(error) => error,
                    },
                    Ok(PacketType::PacketFin) => {
                        let _ = self.out.send(Message::Packets(vec![of_kind(PacketType::PacketFin)])).await;
                        return;
                    }
                    Ok(PacketType::PacketErr) => {
                        SyncError::Receiver { message: String::from_utf8_lossy(&packet.data).into_owned() }
                    }
                    // Upstream ignores what it does not know.
                    Ok(PacketType::PacketStat | PacketType::PacketData) | Err(_) => continue,
                },
            };
            let _ = self.out.send(self.failure(error)).await;
            return;
        }
    }

    fn enqueue(self: &Arc<Self>, id: u32) -> Result<(), SyncError> {
        let content = self.lock_catalogue().take(id).ok_or(SyncError::InvalidRequest { id })?;
        let mut queue = self.lock_queue();
        queue.waiting.push_back((id, content));
        if queue.readers < READERS {
            queue.readers += 1;
            let reader = Arc::clone(self);
            tokio::task::spawn_blocking(move || reader.answer());
        }
        Ok(())
    }

    /// Answers requests until there are none.
    fn answer(&self) {
        let mut batch = Batch { packets: Vec::new(), bytes: 0 };
        while let Some((id, content)) = self.next_request() {
            match self.answer_one(id, content, &mut batch) {
                Ok(()) => {}
                Err(Stop::Gone) => return,
                Err(Stop::Failed(error)) => {
                    let _ = self.out.blocking_send(self.failure(error));
                    return;
                }
            }
        }
        // Whatever becomes of it, this reader is done.
        let _ = self.flush(&mut batch);
    }

    fn next_request(&self) -> Option<(u32, Content)> {
        let mut queue = self.lock_queue();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.readers -= 1;
        }
        next
    }

    fn answer_one(&self, id: u32, content: Content, batch: &mut Batch) -> Result<(), Stop> {
        match (content, self.directory.source()) {
            (Content::None | Content::Empty, _) => {}
            (Content::File, Source::Memory { files, .. }) => {
                let path = self.lock_catalogue().path(id);
                for chunk in files.get(&path).into_iter().flat_map(|content| content.chunks(read::CHUNK)) {
                    self.add_data(id, chunk.to_vec(), batch)?;
                }
            }
            (Content::File, Source::Disk { root, .. }) => {
                let path = self.lock_catalogue().path(id);
                let mut file = read::ContextFile::open(root, &path)?;
                while let Some(chunk) = file.next_chunk()? {
                    self.add_data(id, chunk, batch)?;
                }
            }
        }
        self.transferred.count_file();
        batch.packets.push(Packet { id, ..of_kind(PacketType::PacketData) });
        Ok(())
    }

    fn add_data(&self, id: u32, data: Vec<u8>, batch: &mut Batch) -> Result<(), Gone> {
        batch.bytes += data.len();
        self.transferred.count_bytes(data.len());
        batch.packets.push(Packet { id, data, ..of_kind(PacketType::PacketData) });
        if batch.bytes >= DATA_BATCH { self.flush(batch) } else { Ok(()) }
    }

    fn flush(&self, batch: &mut Batch) -> Result<(), Gone> {
        batch.bytes = 0;
        let packets = std::mem::take(&mut batch.packets);
        if packets.is_empty() { Ok(()) } else { self.out.blocking_send(Message::Packets(packets)).map_err(|_| Gone) }
    }

    /// Remembers the first failure for the caller and tells the builder.
    fn failure(&self, error: SyncError) -> Message {
        let message = Message::Failed { text: error.chain(), status: error.status() };
        tracing::debug!(directory = self.request.directory, error = error.chain(), "context transfer failed");
        self.transferred.fail(error);
        message
    }

    fn lock_catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Packets of one reader that wait to be sent together.
struct Batch {
    packets: Vec<Packet>,
    bytes: usize,
}

fn stat_packet(stat: Option<Stat>) -> Packet {
    Packet { stat, ..of_kind(PacketType::PacketStat) }
}

fn of_kind(kind: PacketType) -> Packet {
    Packet { r#type: kind.into(), ..Packet::default() }
}
