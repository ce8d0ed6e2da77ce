//! What is not an engine, seen from the client; and what an engine may do that a real one rarely does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::{ClassicBuild, ClassicEvent, Engine, EngineError, RunnerKind};
use crate::address::{Address, DialError, Tls, TlsFiles};

const VERSION: &str = r#"{"Version":"28.5.2","ApiVersion":"1.51","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}"#;
const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/testdata");
const INFO: &str = r#"{"Driver":"overlay2"}"#;

type Answer = fn(&str) -> Vec<String>;

fn socket() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    (directory, path)
}

/// Answers each connection by what `answer` makes of its first bytes, cut into pieces that are sent one by one.
fn serve(path: &PathBuf, answer: Answer) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, answer));
        }
    });
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let mut request = vec![0; 4096];
    let read = stream.read(&mut request).await.unwrap_or(0);
    for piece in answer(&String::from_utf8_lossy(&request[..read])) {
        let _ = stream.write_all(piece.as_bytes()).await;
        let _ = stream.flush().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _ = stream.shutdown().await;
}

/// Serves with TLS, to clients that the authority of `testdata` has signed; gives the port.
async fn serve_tls(answer: Answer) -> u16 {
    let files = testdata();
    let pem = |name: &str| PathBuf::from(TESTDATA).join(name);
    let roots = Arc::new(files.roots().unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build().unwrap();
    let chain = CertificateDer::pem_file_iter(pem("server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(pem("server.key")).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    converse(stream, answer).await;
                }
            });
        }
    });
    port
}

fn testdata() -> TlsFiles {
    TlsFiles::in_directory(TESTDATA)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn connect(path: PathBuf) -> Result<Engine, EngineError> {
    Engine::connect_within(&Address::Unix(path), Duration::from_millis(300)).await
}

/// The error and its help on a self-hosted runner, without the directory of the test.
async fn refusal(directory: &TempDir, path: PathBuf) -> (String, String) {
    let error = connect(path).await.unwrap_err();
    assert!(error.is_unreachable());
    let message = crate::error::chain(&error).replace(directory.path().to_str().unwrap(), "");
    (message, error.help(RunnerKind::SelfHosted).unwrap())
}

#[tokio::test]
async fn tells_apart_why_there_is_no_engine() {
    let (directory, path) = socket();
    let (message, help) = refusal(&directory, path.clone()).await;
    assert_eq!(message, "connect to the engine: there is no socket at /docker.sock");
    assert!(help.contains("rootless"), "{help}");

    drop(UnixListener::bind(&path).unwrap());
    let (message, help) = refusal(&directory, path.clone()).await;
    assert_eq!(
        message,
        "connect to the engine: unix:///docker.sock refused the connection: Connection refused (os error 111)"
    );
    assert!(help.contains("systemctl start docker"), "{help}");

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let (message, help) = refusal(&directory, path).await;
    assert_eq!(message, "connect to the engine: /docker.sock is a directory, not a socket");
    assert!(help.contains("Remove the directory"), "{help}");
}

#[tokio::test]
async fn knows_what_hangs_and_what_is_no_engine() {
    for (answer, expected) in [
        ((|_| vec![]) as Answer, "ask the engine what it is: the connection to the engine broke"),
        (|_| vec!["SSH-2.0-OpenSSH_9.6\r\n".into()], "talk to the engine: what listens at"),
        (|_| vec![ok("<html>")], "talk to the engine: what listens at"),
        (|_| vec![ok("{}")], "talk to the engine: what listens at"),
        (|_| vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into()], "talk to the engine: what listens at"),
        (
            |_| vec!["HTTP/1.1 403 Forbidden\r\nContent-Length: 23\r\n\r\n{\"message\":\"by policy\"}".into()],
            "ask the engine what it is: by policy",
        ),
    ] {
        let (_directory, path) = socket();
        serve(&path, answer);
        let error = connect(path).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    let (_directory, path) = socket();
    let _silent = UnixListener::bind(&path).unwrap();
    let error = connect(path).await.unwrap_err();
    assert!(matches!(error, EngineError::NotAnswering { .. }), "{error:?}");
    assert!(error.help(RunnerKind::Terminal).unwrap().contains("hangs"));
}

/// bollard by itself sends no version, and reads an engine's newest answers as its own.
#[tokio::test]
async fn every_request_carries_the_version() {
    let (_directory, path) = socket();
    serve(&path, |request| {
        vec![match request.split(' ').nth(1).unwrap() {
            "/version" => ok(VERSION),
            "/info" => ok(INFO),
            target if target.starts_with("/v1.51/images/json") => ok("[]"),
            target if target.starts_with("/v1.51/system/df?type=image") => ok(r#"{"LayersSize":7}"#),
            other => panic!("asked for {other}"),
        }]
    });
    let engine = connect(path).await.unwrap();
    assert_eq!(engine.images().await.unwrap(), []);
    assert_eq!(engine.image_usage().await.unwrap().layers_size, 7);
}

/// Docker 28 may stumble over a build that goes on while it measures.
#[tokio::test]
async fn measures_again_when_a_snapshot_went_away_or_somebody_else_measures() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let (_directory, path) = socket();
    serve(&path, |request| match request.split(' ').nth(1).unwrap() {
        "/version" => vec![ok(VERSION)],
        "/info" => vec![ok(INFO)],
        _ => vec![match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
            // Docker 20.10, which measures for one client at a time.
            1 => {
                let body = r#"{"message":"a disk usage operation is already running"}"#;
                format!("HTTP/1.1 500 Internal Server Error\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            _ => ok(r#"{"LayersSize":7}"#),
        }],
    });
    let engine = connect(path).await.unwrap();
    assert_eq!(engine.image_usage().await.unwrap().layers_size, 7);
    assert_eq!(ASKED.load(Ordering::SeqCst), 3);
}

/// A line end in a chunk of its own is what bollard reports as an error (fussybeaver/bollard#560).
#[tokio::test]
async fn reads_a_build_however_it_is_cut() {
    let (_directory, path) = socket();
    serve(&path, |request| match request.split(' ').nth(1).unwrap() {
        "/version" => vec![ok(VERSION)],
        "/info" => vec![ok(INFO)],
        _ => vec![
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            chunk("{\"aux\":{\"I"),
            chunk("D\":\"sha256:a\"}}") + &chunk("\r\n"),
            chunk("{\"stream\":\"Successfully built aaaaaaaa\\n\"}"),
            chunk("\r\n"),
            chunk(""),
        ],
    });
    let engine = connect(path).await.unwrap();
    let context = stream::iter([Ok(Bytes::from_static(b"tar"))]);
    let events = engine.build_classic(&ClassicBuild::default(), context);
    let events: Vec<_> = events.try_collect().await.unwrap();
    assert_eq!(events, [ClassicEvent::Image { id: "sha256:a".into() }]);
}

#[tokio::test]
async fn an_engine_that_goes_away_in_a_build_is_told_apart_from_a_failed_build() {
    let (_directory, path) = socket();
    serve(&path, |request| match request.split(' ').nth(1).unwrap() {
        "/version" => vec![ok(VERSION)],
        "/info" => vec![ok(INFO)],
        _ => vec!["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(), "5\r\n{\"str".into()],
    });
    let engine = connect(path).await.unwrap();
    let build = ClassicBuild { tags: vec!["app".parse().unwrap()], ..ClassicBuild::default() };
    let error = engine.build_classic(&build, stream::empty()).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.to_string(), "build app:latest: the connection to the engine broke");
}

#[test]
fn every_runner_is_told_what_to_do() {
    let kind = |pairs: &'static [(&str, &str)]| {
        RunnerKind::from_env(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    };
    assert_eq!(kind(&[("GITHUB_ACTIONS", "true"), ("RUNNER_ENVIRONMENT", "github-hosted")]), RunnerKind::GithubHosted);
    assert_eq!(kind(&[("GITHUB_ACTIONS", "true")]), RunnerKind::SelfHosted);
    assert_eq!(kind(&[]), RunnerKind::Terminal);
}

/// Every message with what each kind of runner is told, as they appear in a log.
#[test]
fn every_error_says_what_to_do() {
    let io = || std::io::Error::other("cause");
    let address = || "unix:///var/run/docker.sock".to_owned();
    let path = || PathBuf::from("/var/run/docker.sock");
    let api = |minor| super::ApiVersion { major: 1, minor };
    let version = |from, to| EngineError::Version {
        version: "1.2.3".to_owned(),
        from: api(from),
        to: api(to),
        ours_from: super::OLDEST_API,
        ours_to: super::NEWEST_API,
    };
    let after = Duration::from_secs(10);
    let errors: [EngineError; 13] = [
        DialError::Missing { path: path() }.into(),
        DialError::Directory { path: path() }.into(),
        DialError::Permission { path: path(), source: io() }.into(),
        DialError::Refused { address: address(), source: io() }.into(),
        DialError::Timeout { address: address(), after }.into(),
        DialError::Network { address: address(), source: io() }.into(),
        DialError::Certificate { path: "/certs/ca.pem".into(), source: io().into() }.into(),
        DialError::Tls { address: address(), source: io() }.into(),
        EngineError::NotAnswering { action: "list images".to_owned(), address: address(), after },
        EngineError::NotAnEngine { address: address(), source: io().into() },
        EngineError::Broken { action: "build app".to_owned(), source: io().into() },
        version(12, 40),
        version(60, 70),
    ];
    let mut text = String::new();
    for error in errors {
        text += &format!("{}\n", crate::error::chain(&error));
        for (runner, name) in [
            (RunnerKind::GithubHosted, "hosted"),
            (RunnerKind::SelfHosted, "self-hosted"),
            (RunnerKind::Terminal, "terminal"),
        ] {
            text += &format!("  {name}: {}\n", error.help(runner).unwrap());
        }
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn speaks_tls_with_those_who_know_each_other() {
    let port = serve_tls(|request| {
        vec![match request.split(' ').nth(1).unwrap() {
            "/version" => ok(VERSION),
            "/info" => ok(INFO),
            _ => ok("[]"),
        }]
    })
    .await;
    let connect = async |host: &str, tls: Option<TlsFiles>| {
        Engine::connect(&Address::Tcp { host: host.to_owned(), port, tls: tls.map(Tls::Files) }).await
    };
    let engine = connect("localhost", Some(testdata())).await.unwrap();
    assert_eq!(engine.images().await.unwrap(), []);
    assert!(connect("127.0.0.1", Some(testdata())).await.is_ok());

    let stranger = TlsFiles { ca: testdata().certificate, ..testdata() };
    let error = connect("localhost", Some(stranger)).await.unwrap_err();
    assert!(matches!(error, EngineError::Dial(DialError::Tls { .. })), "{error:?}");
    assert!(error.help(RunnerKind::SelfHosted).unwrap().contains("DOCKER_CERT_PATH"));

    let error = connect("localhost", None).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
}
