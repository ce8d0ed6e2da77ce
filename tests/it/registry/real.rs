//! Distribution's own registry, which `scripts/test` gets from Debian: one that is tested, and one without TLS, password
//! and access log on the same storage, through which tests push and look.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{Action, certificates};

/// `user` with the password `secret`, as `htpasswd -B` writes it.
const PASSWORDS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How the tested registry is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// TLS, a password, deletion allowed.
    Strict,
    /// As `Strict`, but it does not delete: how distribution is set up by itself.
    WithoutDeletion,
    /// Neither TLS nor a password, as one runs it on one's own machine.
    Plain,
}

/// A registry that runs as long as this is there.
pub(super) struct RealRegistry {
    directory: TempDir,
    tested: Process,
    behind: Process,
}

struct Process {
    child: Child,
    /// `127.0.0.1:port`
    address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl RealRegistry {
    pub(super) fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let (mut http, mut auth) = (String::new(), String::new());
        if setup != Setup::Plain {
            certificates(path, "IP:127.0.0.1,DNS:localhost");
            std::fs::write(path.join("passwords"), PASSWORDS).unwrap();
            let at = path.display();
            http = format!("  tls:\n    certificate: {at}/cert.pem\n    key: {at}/key.pem\n");
            auth = format!("auth:\n  htpasswd:\n    realm: tests\n    path: {at}/passwords\n");
        }
        let behind = Process::start(path, "behind", "", "", true);
        let tested = Process::start(path, "tested", &http, &auth, setup != Setup::WithoutDeletion);
        Self { directory, tested, behind }
    }

    /// The host, as it stands in references.
    pub(super) fn host(&self) -> &str {
        &self.tested.address
    }

    /// The step, with what it needs to talk to this registry.
    pub(super) fn known_to(&self, step: Action) -> Action {
        let auth = format!("{} user secret", self.host());
        step.variable("SSL_CERT_FILE", &self.authority().display().to_string()).input("registry-auth", &auth)
    }

    /// The certificate of the authority that signed the registry's.
    pub(super) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Methods and paths of what the tested registry was asked for.
    pub(super) fn seen(&self) -> Vec<String> {
        let log = self.tested.log.lock().unwrap();
        let requests =
            log.iter().filter_map(|line| Some(line.split_once("] \"")?.1.split_once(" HTTP/")?.0.to_owned()));
        requests.collect()
    }

    /// Pushes an image with this content under a tag, or by its digest alone; gives its digest.
    pub(super) fn image(&self, repository: &str, content: &str, tag: Option<&str>) -> String {
        let config = self.blob(repository, &format!(r#"{{"content":"{content}"}}"#));
        let size = format!(r#"{{"content":"{content}"}}"#).len();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":{size},"digest":"{config}"}},"layers":[]}}"#
        );
        self.manifest(repository, tag, MANIFEST, &manifest)
    }

    /// Pushes an index of these manifests; gives its digest.
    pub(super) fn index(&self, repository: &str, children: &[&str], tag: &str) -> String {
        let children: Vec<String> = children
            .iter()
            .map(|digest| {
                let size = self.behind.ask("GET", &format!("/v2/{repository}/manifests/{digest}"), MANIFEST, "").body.len();
                format!(r#"{{"mediaType":"{MANIFEST}","size":{size},"digest":"{digest}","platform":{{"os":"linux","architecture":"amd64"}}}}"#)
            })
            .collect();
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, children.join(","));
        self.manifest(repository, Some(tag), INDEX, &index)
    }

    /// The digest of a tag; `None` if there is no such tag.
    pub(super) fn digest(&self, repository: &str, reference: &str) -> Option<String> {
        let answer = self.behind.ask(
            "HEAD",
            &format!("/v2/{repository}/manifests/{reference}"),
            &format!("{MANIFEST}, {INDEX}"),
            "",
        );
        (answer.status == 200).then(|| answer.header("docker-content-digest").unwrap())
    }

    fn manifest(&self, repository: &str, tag: Option<&str>, media_type: &str, text: &str) -> String {
        let digest = digest_of(text);
        let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&digest));
        let answer = self.behind.ask("PUT", &path, media_type, text);
        assert_eq!(answer.status, 201, "{}", answer.body);
        digest
    }

    fn blob(&self, repository: &str, content: &str) -> String {
        let digest = digest_of(content);
        let begun = self.behind.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), "", "");
        let location = begun.header("location").unwrap();
        let path = location.split_once("/v2/").unwrap().1;
        let answer =
            self.behind.ask("PUT", &format!("/v2/{path}&digest={digest}"), "application/octet-stream", content);
        assert_eq!(answer.status, 201, "{}", answer.body);
        digest
    }
}

impl Process {
    fn start(directory: &Path, name: &str, http: &str, auth: &str, delete: bool) -> Self {
        let program = std::env::var("WATCHPARTY_TEST_REGISTRY")
            .expect("these tests need a registry: `eval \"$(scripts/test --environment)\"` says where one is");
        let storage = directory.join("storage");
        let config = directory.join(format!("{name}.yml"));
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: {delete}\n\
             http:\n  addr: 127.0.0.1:0\n  secret: tests\n{http}{auth}",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let marker = "listening on ";
        let mut before = Vec::new();
        let line = said.by_ref().find(|line| {
            before.push(line.clone());
            line.contains(marker)
        });
        let line = line.unwrap_or_else(|| panic!("the registry did not come up: {before:#?}"));
        let address: String =
            line.split_once(marker).unwrap().1.chars().take_while(|c| !matches!(c, '"' | ',')).collect();
        // Pipes that nobody reads would stop it.
        std::thread::spawn(move || said.for_each(drop));
        let (stdout, keep) = (child.stdout.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| keep.lock().unwrap().push(line));
        });
        Self { child, address, log }
    }

    /// One request by hand, without the client that is tested.
    fn ask(&self, method: &str, path: &str, media_type: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // HTTP/1.0 knows no chunks.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: {media_type}\r\nAccept: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }
}

pub(super) fn digest_of(text: &str) -> String {
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
