//! An engine's network, which is its own and has nothing in it but what a test puts there, and the names that it knows.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Engine;

/// An address of every engine's network that the engine does not take for its own machine: a registry there needs TLS
/// with a certificate that the engine trusts. It is its bridge's.
pub(super) const BRIDGE: &str = "172.17.0.1";

/// Nothing in an engine's network is what this name stands for. Unless a test says otherwise, who asks for it is refused at
/// once, and waits for no name server.
const API: &str = "api.github.com";

/// Names of public hosts that lead to servers at [`BRIDGE`], for the engine and for containers that have its network for
/// their own, until this is dropped.
pub(crate) struct Names(PathBuf);

impl Names {
    pub(crate) fn of_servers(engine: &Engine, hosts: &[&str]) -> Self {
        let file = root(engine).join("etc/hosts");
        let mut text: String = hosts.iter().map(|host| format!("{BRIDGE} {host}\n")).collect();
        if !hosts.contains(&API) {
            text.push_str(&format!("127.0.0.1 {API}\n"));
        }
        std::fs::write(&file, text).unwrap();
        Self(file)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        std::fs::write(&self.0, "").ok();
    }
}

/// Listens in the network of an engine; what comes there is served wherever the listener is used.
pub(crate) fn listen_inside(engine: &Engine, port: u16) -> TcpListener {
    let network = File::open(format!("/proc/{}/ns/net", pid(engine))).unwrap();
    // A socket stays in the network that its thread was in when it was made.
    let thread = std::thread::spawn(move || {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        TcpListener::bind((BRIDGE, port)).unwrap()
    });
    thread.join().unwrap()
}

/// An authority of its own in `ca.pem`, and a certificate that it signs: `cert.pem` and `key.pem`.
pub(crate) fn certificates(directory: &Path, names: &str) {
    std::fs::write(directory.join("names"), format!("subjectAltName={names}\n")).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for arguments in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=tests"),
        format!("req {key} -keyout key.pem -out request.pem -subj /CN=server"),
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names"
            .to_owned(),
    ] {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
        let output = output.expect("these tests need openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The root directory of an engine.
pub(crate) fn root(engine: &Engine) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root", pid(engine)))
}

/// Runs a program in the network of an engine.
pub(super) fn inside(engine: &Engine) -> [String; 4] {
    ["nsenter".to_owned(), format!("--target={}", pid(engine)), "--net".to_owned(), "--".to_owned()]
}

/// The engine's process, whose network it is.
fn pid(engine: &Engine) -> i32 {
    let path = engine.address.strip_prefix("unix://").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let credentials = runtime.block_on(async { tokio::net::UnixStream::connect(path).await.unwrap().peer_cred() });
    credentials.unwrap().pid().unwrap()
}
