//! Distribution's own registry where an engine can reach it.
//!
//! Each engine of `scripts/test` has a network of its own, with nothing in it but its loopback. So there are two processes at
//! the same port, one in the engine's network and one in ours, with the same storage: to the engine and to the program they
//! are one registry at `127.0.0.1`, where neither wants TLS.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::gate::Gate;
use super::network::{BRIDGE, Names, certificates, inside, root};
use super::{Action, Engine};

/// `user` with the password `secret`, as `htpasswd -B` writes it.
const PASSWORDS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A registry with a password, as long as this is there.
pub(crate) struct Registry {
    directory: TempDir,
    host: String,
    /// Where it listens.
    address: String,
    processes: Vec<Child>,
    log: Arc<Mutex<Vec<String>>>,
    /// Where the engine looks for what it trusts of this host.
    trust: PathBuf,
    /// How the engine finds it, if its host is a name.
    names: Option<Names>,
}

impl Registry {
    /// One that this engine and the program can reach.
    pub(crate) fn beside(engine: &Engine) -> Self {
        let mut registry = Self::new(engine, "127.0.0.1");
        let config = registry.configured("", "");
        registry.run(&[], &config);
        registry.run(&inside(engine), &config);
        registry
    }

    /// One to which the program, and not the engine, comes through a gate, which may stop this request.
    pub(crate) fn behind_gate(engine: &Engine, request: &str) -> (Self, Gate) {
        let mut registry = Self::new(engine, "127.0.0.1");
        let config = registry.configured("", "");
        registry.run(&inside(engine), &config);
        let port = free_port();
        let other = registry.directory.path().join("outside.yml");
        let text = std::fs::read_to_string(&config).unwrap();
        let address = format!("127.0.0.1:{port}");
        let there = format!("addr: {}", registry.address);
        std::fs::write(&other, text.replace(&there, &format!("addr: {address}"))).unwrap();
        registry.run(&[], &other);
        let gate = Gate::new(&registry.host, &address, request);
        (registry, gate)
    }

    /// One that takes no images.
    pub(crate) fn read_only_beside(engine: &Engine) -> Self {
        let mut registry = Self::new(engine, "127.0.0.1");
        let config = registry.configured("  maintenance:\n    readonly:\n      enabled: true\n", "");
        registry.run(&inside(engine), &config);
        registry
    }

    /// One with TLS, which the engine does not trust until [`Registry::trust`]. The program can reach it only in a container
    /// of this engine, and trusts it with the certificate of [`Registry::authority`].
    pub(crate) fn with_tls_beside(engine: &Engine) -> Self {
        let mut registry = Self::new(engine, BRIDGE);
        registry.run_with_tls(engine, &format!("IP:{BRIDGE}"));
        registry
    }

    /// The same with the name of a public one, at whose port it is. The engine knows it by that name, and so do containers that
    /// have the engine's network for their own.
    pub(crate) fn in_the_place_of(host: &str, engine: &Engine) -> Self {
        let mut registry = Self::at(engine, host.to_owned(), format!("{BRIDGE}:443"));
        registry.names = Some(Names::of_servers(engine, &[host]));
        registry.run_with_tls(engine, &format!("DNS:{host}"));
        registry
    }

    fn new(engine: &Engine, address: &str) -> Self {
        // Free now, and nobody else looks for ports in the engine's network.
        let host = format!("{address}:{}", free_port());
        Self::at(engine, host.clone(), host)
    }

    fn at(engine: &Engine, host: String, address: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("passwords"), PASSWORDS).unwrap();
        let trust = root(engine).join("etc/docker/certs.d").join(&host);
        Self { directory, host, address, processes: Vec::new(), log: Arc::default(), trust, names: None }
    }

    fn run_with_tls(&mut self, engine: &Engine, name: &str) {
        let at = self.directory.path();
        certificates(at, name);
        let tls = format!("  tls:\n    certificate: {0}/cert.pem\n    key: {0}/key.pem\n", at.display());
        let config = self.configured("", &tls);
        self.run(&inside(engine), &config);
    }

    fn configured(&self, storage: &str, http: &str) -> PathBuf {
        let (at, address) = (self.directory.path().display(), &self.address);
        let config = self.directory.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {at}/storage\n  delete:\n    enabled: true\n\
             {storage}http:\n  addr: {address}\n  secret: tests\n{http}auth:\n  htpasswd:\n    realm: tests\n    path: {at}/passwords\n"
        );
        std::fs::write(&config, text).unwrap();
        config
    }

    fn run(&mut self, inside: &[String], config: &Path) {
        self.processes.push(start(inside, config, &self.log));
    }

    /// The host, as it stands in references.
    pub(crate) fn host(&self) -> String {
        self.host.clone()
    }

    /// From now on the engine trusts its certificate.
    pub(crate) fn trust(&self) {
        std::fs::create_dir_all(&self.trust).unwrap();
        std::fs::write(self.trust.join("ca.crt"), self.authority()).unwrap();
    }

    /// The certificate of who signed its own.
    pub(crate) fn authority(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("ca.pem")).unwrap()
    }

    /// It accepts connections and answers nothing, until [`Registry::resume`].
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        for process in &self.processes {
            kill_process(Pid::from_child(process), signal).unwrap();
        }
    }

    /// The step, with the login for this registry.
    pub(crate) fn known_to(&self, step: Action) -> Action {
        step.input("registry-auth", &format!("{} user secret", self.host()))
    }

    /// Methods and paths of what both processes were asked for.
    pub(crate) fn seen(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let requests =
            log.iter().filter_map(|line| Some(line.split_once("] \"")?.1.split_once(" HTTP/")?.0.to_owned()));
        requests.collect()
    }

    /// The digest of a tag, read from the storage; `None` if there is no such tag.
    pub(crate) fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let link = format!("storage/docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}/current/link");
        std::fs::read_to_string(self.directory.path().join(link)).ok()
    }

    /// The tags of a repository, read from the storage.
    pub(crate) fn tags(&self, repository: &str) -> BTreeSet<String> {
        let tags = format!("storage/docker/registry/v2/repositories/{repository}/_manifests/tags");
        let tags = std::fs::read_dir(self.directory.path().join(tags)).unwrap();
        tags.map(|tag| tag.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Takes a tag away.
    pub(crate) fn forget(&self, repository: &str, tag: &str) {
        let tag = format!("storage/docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}");
        std::fs::remove_dir_all(self.directory.path().join(tag)).unwrap();
    }

    /// The file that a blob or a manifest is in.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let file = format!("storage/docker/registry/v2/blobs/sha256/{}/{hex}/data", hex.get(..2).unwrap());
        self.directory.path().join(file)
    }

    /// Ends it, as a registry that goes away.
    pub(crate) fn stop(&mut self) {
        for process in &mut self.processes {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        std::fs::remove_dir_all(&self.trust).ok();
    }
}

/// Nobody has it now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(inside: &[String], config: &Path, log: &Arc<Mutex<Vec<String>>>) -> Child {
    let program = std::env::var("WATCHPARTY_TEST_REGISTRY")
        .expect("these tests need a registry: `eval \"$(scripts/test --environment)\"` says where one is");
    let mut words = inside.iter().cloned().chain([program, "serve".to_owned(), config.display().to_string()]);
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut before = Vec::new();
    let up = said.by_ref().any(|line| {
        before.push(line.clone());
        line.contains("listening on ")
    });
    assert!(up, "the registry did not come up: {before:#?}");
    // Pipes that nobody reads would stop it.
    std::thread::spawn(move || said.for_each(drop));
    let (stdout, log) = (child.stdout.take().unwrap(), Arc::clone(log));
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| log.lock().unwrap().push(line));
    });
    child
}
