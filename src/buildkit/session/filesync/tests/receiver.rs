//! The other side of the wire: behaves as fsutil's receiver does, order checks included.

use std::collections::{BTreeMap, HashSet};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_client::FileSyncClient;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{AsciiMetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Status};

use super::super::FileSyncService;

const DIR: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
/// Go's `ModeType`.
const TYPE: u32 = DIR | SYMLINK | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;

/// What arrived.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) stats: Vec<Stat>,
    pub(super) contents: BTreeMap<String, Vec<u8>>,
    pub(super) packets: usize,
}

impl Received {
    pub(super) fn paths(&self) -> Vec<&str> {
        self.stats.iter().map(|stat| stat.path.as_str()).collect()
    }

    pub(super) fn stat(&self, path: &str) -> &Stat {
        self.stats.iter().find(|stat| stat.path == path).unwrap_or_else(|| panic!("{path} was not sent"))
    }
}

/// Why it did not: the text of `PACKET_ERR` if there was one, and the call's status.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) packet: Option<String>,
    pub(super) status: Option<Status>,
}

/// A client of `service` over an in-memory connection.
pub(super) async fn connect(service: FileSyncService) -> FileSyncClient<Channel> {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let server = Server::builder().add_service(FileSyncServer::new(service));
    tokio::spawn(server.serve_with_incoming(tokio_stream::once(Ok::<_, std::io::Error>(theirs))));
    let mut ours = Some(ours);
    let connector = tower::service_fn(move |_: Uri| {
        let io = ours.take().ok_or_else(|| std::io::Error::other("connected twice"));
        async move { io.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://test").connect_with_connector(connector).await.unwrap();
    FileSyncClient::new(channel)
}

/// A call, with its metadata.
pub(super) fn call(metadata: &[(&'static str, &str)]) -> (mpsc::Sender<Packet>, Request<ReceiverStream<Packet>>) {
    let (requests, stream) = mpsc::channel(16);
    let mut call = Request::new(ReceiverStream::new(stream));
    for (key, value) in metadata {
        call.metadata_mut().append(AsciiMetadataKey::from_static(key), MetadataValue::try_from(*value).unwrap());
    }
    (requests, call)
}

/// Receives a directory as fsutil does, asking for the files that `want` picks.
pub(super) async fn receive(
    service: FileSyncService,
    metadata: &[(&'static str, &str)],
    want: impl Fn(&Stat) -> bool,
) -> Result<Received, Refused> {
    let mut client = connect(service).await;
    let (requests, call) = call(metadata);
    let refuse = |status| Refused { packet: None, status: Some(status) };
    let mut packets = client.diff_copy(call).await.map_err(refuse)?.into_inner();
    let mut received = Received::default();
    let mut order = Order::default();
    let mut open: BTreeMap<u32, String> = BTreeMap::new();
    let (mut announced, mut finishing) = (false, false);
    let mut error_packet = None;
    let mut id = 0;
    loop {
        let packet = match packets.message().await {
            Ok(Some(packet)) => packet,
            Ok(None) if finishing => return Ok(received),
            Ok(None) => return Err(Refused { packet: error_packet, status: None }),
            Err(status) => return Err(Refused { packet: error_packet, status: Some(status) }),
        };
        received.packets += 1;
        match PacketType::try_from(packet.r#type).unwrap() {
            PacketType::PacketErr => error_packet = Some(String::from_utf8(packet.data).unwrap()),
            PacketType::PacketFin => finishing = true,
            PacketType::PacketReq => panic!("a sender does not ask"),
            PacketType::PacketStat => match packet.stat {
                None => announced = true,
                Some(stat) => {
                    order.check(&stat);
                    if stat.mode & TYPE == 0 && stat.linkname.is_empty() && want(&stat) {
                        open.insert(id, stat.path.clone());
                        received.contents.insert(stat.path.clone(), Vec::new());
                        let packet = Packet { r#type: PacketType::PacketReq.into(), id, ..Packet::default() };
                        requests.send(packet).await.unwrap();
                    }
                    id += 1;
                    received.stats.push(stat);
                }
            },
            PacketType::PacketData if packet.data.is_empty() => {
                assert!(open.remove(&packet.id).is_some(), "end of a file that is not open");
            }
            PacketType::PacketData => {
                let path = open.get(&packet.id).expect("data of a file that is not open");
                received.contents.get_mut(path).unwrap().extend(packet.data);
            }
        }
        if announced && open.is_empty() && !finishing {
            let packet = Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() };
            requests.send(packet).await.unwrap();
            announced = false;
        }
    }
}

/// fsutil's `Validator` and `Hardlinks`: parents first, siblings in ascending order, links to what was sent.
#[derive(Default)]
struct Order {
    /// Directories that the last entry lies in, each with the last name sent in it.
    parents: Vec<(String, String)>,
    files: HashSet<String>,
}

impl Order {
    fn check(&mut self, stat: &Stat) {
        if self.parents.is_empty() {
            self.parents.push((String::new(), String::new()));
        }
        let (directory, name) = stat.path.rsplit_once('/').unwrap_or(("", &stat.path));
        assert!(!name.is_empty() && !stat.path.starts_with('/'), "unclean path {}", stat.path);
        while self.parents.last().is_some_and(|(parent, _)| parent != directory) {
            self.parents.pop();
        }
        let (_, last) = self.parents.last_mut().unwrap_or_else(|| panic!("{} came without its directory", stat.path));
        assert!(last.as_str() < name, "{} came after {last}", stat.path);
        name.clone_into(last);
        if stat.mode & DIR != 0 {
            self.parents.push((stat.path.clone(), String::new()));
        } else if stat.mode & SYMLINK == 0 {
            if stat.linkname.is_empty() {
                self.files.insert(stat.path.clone());
            } else {
                assert!(self.files.contains(&stat.linkname), "{} links to nothing", stat.path);
            }
        }
    }
}
