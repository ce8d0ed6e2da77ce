//! Why a registry did not take an image, told by the engine's message, and what to do about it.
//!
//! The texts are those of containerd's and distribution's clients, of registries, and of Go's `net` and `crypto/x509`; they
//! were seen on every engine that the tests use. Numbers count only with their words: the messages hold digests.

use crate::image::ImageReference;

/// Why an image was not pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The registry's certificate is signed by somebody whom the engine does not know.
    Certificate,
    /// The registry speaks HTTP alone.
    NoTls,
    /// Nobody answers.
    Unreachable,
    /// The registry wants a login, or another one.
    Login,
    /// The registry takes no images.
    ReadOnly,
    /// The registry was asked too often.
    TooOften,
    /// The registry does not allow the name.
    Name,
    /// The repository is not there, and the registry does not make it.
    NoRepository,
}

/// What the registry was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// A login for its host.
    Given,
    /// Nothing.
    None,
}

/// What engines and registries say, with the most telling first.
const TEXTS: &[(Cause, &[&str])] = &[
    (Cause::Certificate, &["x509:", "certificate signed by unknown authority"]),
    (Cause::NoTls, &["server gave HTTP response to HTTPS client"]),
    (
        Cause::Unreachable,
        &[
            "connection refused",
            "no such host",
            "i/o timeout",
            "TLS handshake timeout",
            "network is unreachable",
            "no route to host",
            "Client.Timeout exceeded",
        ],
    ),
    (Cause::TooOften, &["429 Too Many Requests", "toomanyrequests"]),
    (
        Cause::Login,
        &[
            "401 Unauthorized",
            "403 Forbidden",
            "unauthorized",
            "authorization failed",
            "authentication required",
            "no basic auth",
            "insufficient_scope",
            "denied",
        ],
    ),
    (Cause::ReadOnly, &["405 Method Not Allowed", "Method not allowed", "HTTP 405", "operation is unsupported"]),
    (Cause::Name, &["NAME_INVALID", "name invalid", "invalid repository name", "invalid reference format"]),
    (Cause::NoRepository, &["404 Not Found", "NAME_UNKNOWN", "name unknown", "repository not found"]),
];

impl Cause {
    /// The cause that a message tells; `None` if it is none that we know.
    pub fn of(message: &str) -> Option<Self> {
        let has = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        TEXTS.iter().find(|(_, texts)| has(texts)).map(|(cause, _)| *cause)
    }
}

/// What to do about a push of `tag` that failed with this message, where that is known.
pub fn help(message: &str, tag: &ImageReference, login: Login) -> Option<String> {
    let (host, repository) = (tag.host(), tag.path());
    let help = match Cause::of(message)? {
        Cause::Certificate => format!(
            "the engine does not trust {host}: put the certificate of its authority into /etc/docker/certs.d/{host}/ca.crt on \
             the engine's machine"
        ),
        Cause::NoTls => {
            format!("{host} has no TLS: name it in `insecure-registries` of the engine's daemon.json, or give it TLS")
        }
        Cause::Unreachable => format!(
            "the engine cannot reach {host}: is the name right? It is the engine that pushes, so its machine must know the \
             name, not this container"
        ),
        Cause::Login => return Some(login_help(tag, login)),
        Cause::ReadOnly => {
            format!("{host} takes no images: it is read-only now, or only a mirror; push to one that does")
        }
        Cause::TooOften => format!("{host} was asked too often: run the job again later"),
        Cause::Name => format!("{host} does not allow the name {repository}: many want it as `{host}/OWNER/NAME`"),
        Cause::NoRepository => {
            format!("make the repository {repository} at {host} first: this registry does not make it by itself")
        }
    };
    Some(help)
}

fn login_help(tag: &ImageReference, login: Login) -> String {
    let (host, repository) = (tag.host(), tag.path());
    if host == "docker.io" && repository.starts_with("library/") {
        return format!(
            "a name without a registry is Docker Hub's, and `library/` belongs to Docker: write the registry and the owner \
             before it, as `ghcr.io/OWNER/{}`",
            repository.trim_start_matches("library/")
        );
    }
    let own = if host == "ghcr.io" {
        "; for GitHub's own: `ghcr.io ${{ github.actor }} ${{ github.token }}`, with `permissions: packages: write`"
    } else {
        ""
    };
    match login {
        Login::Given => format!(
            "check the login for {host} in `registry-auth`: the password or token may be wrong or expired, or its user may not \
             push to {repository}{own}"
        ),
        Login::None => format!(
            "give `registry-auth` a line `{host} USER PASSWORD` of a user who may push to {repository}{own}; a container \
             action does not see `docker login`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Login, TEXTS, help};

    #[test]
    fn causes_are_told_by_what_engines_say() {
        let digest = "sha256:4031ed782b404edd37bc58b5844291d680587bc63aa9cbe4a36b9401a82a9ac6b";
        for (message, cause) in [
            ("no basic auth credentials", Some(Cause::Login)),
            ("push access denied, repository does not exist or may require authorization", Some(Cause::Login)),
            (
                "unexpected status from POST request to https://r.io/v2/a/blobs/uploads/: 401 Unauthorized",
                Some(Cause::Login),
            ),
            ("denied: requested access to the resource is denied", Some(Cause::Login)),
            (
                "Get \"http://127.0.0.1:7003/v2/\": dial tcp 127.0.0.1:7003: connect: connection refused",
                Some(Cause::Unreachable),
            ),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Some(Cause::Certificate),
            ),
            ("http: server gave HTTP response to HTTPS client", Some(Cause::NoTls)),
            ("name unknown: repository is not known", Some(Cause::NoRepository)),
            // A registry that is read-only: Docker 20.10, 28 with a graph driver, 28 with the containerd store.
            (
                "error parsing HTTP 405 response body: invalid character 'M': \"Method not allowed\\n\"",
                Some(Cause::ReadOnly),
            ),
            ("unknown: Method not allowed", Some(Cause::ReadOnly)),
            (
                "unexpected status from POST request to http://r.io/v2/a/blobs/uploads/: 405 Method Not Allowed",
                Some(Cause::ReadOnly),
            ),
            ("toomanyrequests: too many requests", Some(Cause::TooOften)),
            (&format!("failed to copy {digest}: the disk is full"), None),
        ] {
            assert_eq!(Cause::of(message), cause, "{message}");
        }
    }

    #[test]
    fn each_cause_has_its_way_out() {
        let tag = "r.io/org/app:1".parse().unwrap();
        let texts: Vec<String> = TEXTS.iter().filter_map(|(_, texts)| help(texts[0], &tag, Login::None)).collect();
        assert_eq!(texts.len(), TEXTS.len());
        assert!(texts.iter().all(|text| text.contains("r.io")), "{texts:#?}");
        assert_eq!(help("the disk is full", &tag, Login::None), None);
    }

    #[test]
    fn a_login_that_was_given_is_not_asked_for() {
        let help = |tag: &str, login| help("403 Forbidden", &tag.parse().unwrap(), login).unwrap();
        assert!(help("r.io/org/app", Login::None).contains("`r.io USER PASSWORD`"));
        assert!(help("r.io/org/app", Login::Given).starts_with("check the login for r.io"));
        assert!(help("ghcr.io/org/app", Login::Given).contains("packages: write"));
        assert!(help("app:1", Login::Given).contains("a name without a registry"));
        assert!(help("org/app:1", Login::Given).contains("docker.io"));
    }
}
