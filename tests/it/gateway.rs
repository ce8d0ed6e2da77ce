//! The pieces of the image cache that talk to BuildKit: an image's raw config, records written to us and read from us.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use watchparty_cache::address::Address;
use watchparty_cache::buildkit::gateway::Gateway;
use watchparty_cache::buildkit::mask::Masks;
use watchparty_cache::buildkit::session::filesync::{Directories, Directory, FileSyncService};
use watchparty_cache::buildkit::session::{ContentStore, ContentStores, Credentials, Services, Session};
use watchparty_cache::buildkit::solve::{CacheEntry, Exporter, SolveRequest, Solved, solve};
use watchparty_cache::buildkit::trace::Event;
use watchparty_cache::buildkit::{Connection, Transport};

use crate::support::{Engine, Manner, Project, Proxy, command, docker, engine, on_every_engine, unique};

const DOCKERFILE: &str = "FROM busybox:1.36 AS deps\n\
                          COPY deps.txt /deps.txt\n\
                          RUN cat /deps.txt > /installed\n\
                          FROM busybox:1.36\n\
                          COPY --from=deps /installed /installed\n\
                          RUN cat /installed > /out\n";
const STORE: &str = "records";

fn connected<F: Future<Output = ()>>(engine: &Engine, body: impl FnOnce(Connection) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let address = Address::parse(&engine.address, None).unwrap();
    runtime.block_on(async { body(Connection::open(&address, Transport::Upgrade).await.unwrap()).await });
}

async fn session(connection: &Connection) -> Session {
    Session::open(connection, Services::new(Credentials::default()), "").await.unwrap()
}

fn entry(kind: &str, attributes: &[(&str, &str)]) -> CacheEntry {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    CacheEntry { kind: kind.to_owned(), attributes }
}

fn image(name: &str) -> Option<Exporter> {
    let attributes = BTreeMap::from([("name".to_owned(), format!("docker.io/{name}"))]);
    Some(Exporter { kind: "moby".to_owned(), attributes })
}

/// Builds the directory; gives the names of the steps that were executed, too, as the events tell them.
async fn build(
    connection: &Connection,
    context: &Path,
    stores: ContentStores,
    request: SolveRequest,
) -> (Solved, Vec<String>) {
    let directories = || Directory::new(context);
    let directories = Directories::new().with("context", directories()).with("dockerfile", directories());
    let services = Services::new(Credentials::default()).with_files(FileSyncService::new(directories));
    let session = Session::open(connection, services.with_content(stores), "").await.unwrap();
    let request = SolveRequest {
        frontend: "dockerfile.v0".to_owned(),
        attributes: BTreeMap::from([("image-resolve-mode".to_owned(), "local".to_owned())]),
        ..request
    };
    let mut executed = Vec::new();
    let (never, masks) = (CancellationToken::new(), Masks::NONE);
    let solved = solve(connection, &session, request, &masks, &never, |event| {
        if let Event::Started { name, executes: true, .. } = event {
            executed.push(name);
        }
    });
    let solved = solved.await;
    (solved, executed)
}

fn cached(solved: &Solved) -> (usize, usize) {
    let steps: Vec<bool> = solved.trace.steps().map(|(vertex, _)| vertex.cached).collect();
    (steps.iter().filter(|cached| **cached).count(), steps.len())
}

fn digest(blob: &[u8]) -> String {
    let hex: String = Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn project() -> Project {
    let project = Project::new(&[("Dockerfile", DOCKERFILE)]);
    project.write("deps.txt", unique("deps"));
    project
}

on_every_engine!(one_gateway_reads_the_configs_of_several_local_images, |engine| {
    let (name, capture) = (unique("app"), format!("watchparty-cache/capture:{}", unique("x")));
    docker(engine, &["tag", "busybox:1.36", &name]);
    docker(engine, &["tag", "busybox:1.36", &capture]);
    connected(engine, async |connection: Connection| {
        let session = session(&connection).await;
        let gateway = Gateway::open(&connection, &session);
        for reference in [format!("docker.io/library/{name}:latest"), format!("docker.io/{capture}")] {
            let config = gateway.config(&reference).await.unwrap().unwrap();
            let config: Value = serde_json::from_slice(&config).unwrap();
            let layers = docker(engine, &["image", "inspect", "--format", "{{json .RootFS.Layers}}", &name]);
            assert_eq!(config["rootfs"]["diff_ids"], serde_json::from_str::<Value>(&layers).unwrap());
        }
        let begun = Instant::now();
        let missing = gateway.config("docker.io/watchparty-cache/capture:missing").await;
        assert!(!matches!(missing, Ok(Some(_))), "{missing:?}");
        // The engines of these tests reach no registry.
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    });
    docker(engine, &["image", "rm", &name, &capture]);
});

on_every_engine!(the_engine_survives_gateways_that_end_at_any_moment, |engine| {
    let mut events = command(engine).arg("events").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    connected(engine, async |connection: Connection| {
        let session = session(&connection).await;
        for round in 0..20_u64 {
            let gateway = Gateway::open(&connection, &session);
            let busybox = gateway.config("docker.io/library/busybox:1.36");
            let _ = tokio::time::timeout(Duration::from_micros(round * round * 50), busybox).await;
            if round % 4 == 0 {
                assert!(gateway.config("docker.io/library/busybox:1.36").await.unwrap().is_some());
            }
        }
        // A session that ends under an open gateway.
        let gateway = Gateway::open(&connection, &session);
        assert!(gateway.config("docker.io/library/busybox:1.36").await.unwrap().is_some());
        drop(session);
        tokio::time::sleep(Duration::from_millis(200)).await;
    });
    docker(engine, &["version"]);
    // An engine that crashed would have ended its streams.
    assert!(events.try_wait().unwrap().is_none());
    events.kill().unwrap();
    events.wait().unwrap();
});

#[test]
fn a_gateway_whose_engine_is_gone_says_so_at_once_engine_28_graph() {
    let real = engine("28-graph");
    let proxy = Proxy::new(&real, Manner::Itself);
    connected(&proxy.engine(&real), async |connection: Connection| {
        let session = session(&connection).await;
        let gateway = Gateway::open(&connection, &session);
        assert!(gateway.config("docker.io/library/busybox:1.36").await.unwrap().is_some());
        proxy.cut();
        let begun = Instant::now();
        for _ in 0..2 {
            gateway.config("docker.io/library/busybox:1.36").await.unwrap_err();
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    });
}

/// The records of what was just built, as an OCI index and its blobs.
struct Records {
    index: String,
    blobs: Vec<(String, Bytes)>,
}

impl Records {
    fn new(descriptors: Vec<Value>, config: &[u8]) -> Self {
        let mut manifests = descriptors;
        let kind = "application/vnd.buildkit.cacheconfig.v0";
        manifests.push(json!({ "mediaType": kind, "digest": digest(config), "size": config.len() }));
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests }).to_string();
        let blobs = [Bytes::copy_from_slice(config), index.clone().into()];
        Self { index: digest(index.as_bytes()), blobs: blobs.map(|blob| (digest(&blob), blob)).into() }
    }

    /// What a solve that exports its cache to us wrote.
    fn exported(written: &BTreeMap<String, Bytes>) -> Self {
        let parsed = |blob: &Bytes| serde_json::from_slice::<Value>(blob).unwrap();
        let manifest = written.values().map(parsed).find(|value| value["manifests"].is_array()).unwrap();
        let config = written.values().find(|blob| parsed(blob)["records"].is_array()).unwrap();
        let mut descriptors = manifest["manifests"].as_array().unwrap().clone();
        descriptors.pop();
        Self::new(descriptors, config)
    }

    /// What is in an image's config.
    fn inline(config: &[u8]) -> Self {
        let config: Value = serde_json::from_slice(config).unwrap();
        let records = config["moby.buildkit.cache.v0"].as_str().unwrap();
        let records = base64::engine::general_purpose::STANDARD.decode(records).unwrap();
        let records: Value = serde_json::from_slice(&records).unwrap();
        let ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        let layers = ids.iter().zip(-1..).map(|(id, parent)| json!({ "blob": id, "parent": parent }));
        let layers: Vec<Value> = layers.collect();
        let descriptor = |id| {
            let kind = "application/vnd.docker.image.rootfs.diff.tar.gzip";
            json!({ "mediaType": kind, "digest": id, "size": 1, "annotations": { "containerd.io/uncompressed": id } })
        };
        Self::new(
            ids.iter().map(descriptor).collect(),
            json!({ "layers": layers, "records": records }).to_string().as_bytes(),
        )
    }

    fn offered(&self) -> (ContentStore, ContentStores, Vec<CacheEntry>) {
        let store = ContentStore::serving(self.blobs.clone());
        let stores = ContentStores::default().with(STORE, store.clone());
        (store, stores, vec![entry("local", &[("digest", &self.index), ("src", STORE), ("store", STORE)])])
    }
}

/// Builds an image, then the same again for its records.
async fn captured(engine: &Engine, connection: &Connection, context: &Path, name: &str) -> Records {
    let (first, executed) = build(connection, context, ContentStores::default(), rebuild(name, Vec::new())).await;
    first.result.unwrap();
    assert_eq!(executed.len(), 4, "{executed:?}");
    let store = ContentStore::accepting();
    let (name, request) = if engine.has_containerd_store() {
        let attributes = [("dest", STORE), ("mode", "min"), ("image-manifest", "false"), ("oci-mediatypes", "true")];
        (None, SolveRequest { cache_exports: vec![entry("local", &attributes)], ..SolveRequest::default() })
    } else {
        let name = format!("watchparty-cache/capture:{name}");
        let exporter = image(&name);
        (Some(name), SolveRequest { exporter, cache_exports: vec![entry("inline", &[])], ..SolveRequest::default() })
    };
    let stores = ContentStores::default().with(STORE, store.clone());
    let (second, executed) = build(connection, context, stores, SolveRequest { internal: true, ..request }).await;
    second.result.unwrap();
    assert!(executed.is_empty(), "{executed:?}");
    let Some(name) = name else {
        let written = store.written();
        assert_eq!(written.len(), 2, "{written:?}");
        assert!(written.values().all(|blob| blob.starts_with(b"{")));
        return Records::exported(&written);
    };
    let session = session(connection).await;
    let config = Gateway::open(connection, &session).config(&format!("docker.io/{name}")).await.unwrap().unwrap();
    docker(engine, &["image", "rm", &name]);
    Records::inline(&config)
}

fn rebuild(name: &str, cache_imports: Vec<CacheEntry>) -> SolveRequest {
    SolveRequest { exporter: image(&format!("library/{name}")), cache_imports, ..SolveRequest::default() }
}

on_every_engine!(records_written_to_us_are_a_cache_when_we_serve_them, |engine| {
    let project = project();
    let name = unique("detached");
    connected(engine, async |connection: Connection| {
        let records = captured(engine, &connection, project.path(), &name).await;
        docker(engine, &["builder", "prune", "-af"]);
        let (store, stores, imports) = records.offered();
        let (again, executed) = build(&connection, project.path(), stores, rebuild(&name, imports)).await;
        again.result.as_ref().unwrap();
        assert_eq!((cached(&again), executed), ((4, 4), Vec::new()));
        // Metadata travelled, and nobody asked for a layer.
        assert!((1000..20_000).contains(&store.served_bytes()), "{}", store.served_bytes());
        tokio::time::timeout(Duration::ZERO, store.asked_for_missing()).await.unwrap_err();
    });
    docker(engine, &["image", "rm", "-f", &name]);
});

on_every_engine!(a_layer_that_vanished_is_asked_for_before_the_engine_gives_up, |engine| {
    let project = project();
    let name = unique("vanished");
    connected(engine, async |connection: Connection| {
        let records = captured(engine, &connection, project.path(), &name).await;
        docker(engine, &["image", "rm", "-f", &name]);
        docker(engine, &["builder", "prune", "-af"]);
        let (store, stores, imports) = records.offered();
        let begun = Instant::now();
        let missing = tokio::select! {
            missing = store.asked_for_missing() => missing.digest,
            (solved, _) = build(&connection, project.path(), stores, rebuild(&name, imports)) => {
                panic!("nothing was asked for: {:?}", solved.result)
            }
        };
        assert!(String::from_utf8_lossy(&records.blobs[1].1).contains(&missing), "{missing}");
        // The same build without the records does not wait for the one that was given up: the graph driver's engines
        // would try for more than a minute to read the layer.
        let (again, executed) =
            build(&connection, project.path(), ContentStores::default(), rebuild(&name, Vec::new())).await;
        again.result.unwrap();
        assert_eq!(executed.len(), 4, "{executed:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    });
    docker(engine, &["image", "rm", "-f", &name]);
});

on_every_engine!(a_step_without_inputs_is_not_taken_for_executed_when_it_is_cached, |engine| {
    let project = Project::new(&[("Dockerfile", "FROM scratch\nWORKDIR /app\nCOPY deps.txt /\n")]);
    project.write("deps.txt", unique("deps"));
    let name = unique("scratch");
    connected(engine, async |connection: Connection| {
        for steps in [vec!["[2/2] COPY deps.txt /"], vec![]] {
            let request = rebuild(&name, Vec::new());
            let (solved, executed) = build(&connection, project.path(), ContentStores::default(), request).await;
            solved.result.unwrap();
            assert_eq!(executed, steps);
        }
    });
    docker(engine, &["image", "rm", "-f", &name]);
});
