//! The input `builder`: a word, or the address of a BuildKit daemon with the options that buildx has for one.
//!
//! The options are those of buildx's `remote` driver (docker/buildx `driver/remote/factory.go`), the variables those of
//! docker/setup-buildx-action (`BUILDER_NODE_0_AUTH_TLS_…`), which a workflow has already where it builds there with Docker's
//! actions.

use std::fmt;
use std::fs;

use crate::address::{Address, AddressError, Tls, TlsError, TlsTexts};
use crate::error::chain;
use crate::inputs::error::{Problem, Shown, words};
use crate::inputs::list::{self, Commas};
use crate::inputs::reader::Reader;
use crate::inputs::{BuilderChoice, RawInputs, table};
use crate::secret::Secret;

/// Words, and the options of an address. An address takes all of the options for TLS, or none.
const WORDS: [(&str, BuilderChoice); 3] =
    [("auto", BuilderChoice::Auto), ("buildkit", BuilderChoice::BuildKit), ("classic", BuilderChoice::Classic)];
const SERVER_NAME: &str = "servername";

/// Why an address of a builder, or what belongs to it, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuilderError {
    /// An address of another kind.
    #[error("{scheme}:// is no way to a BuildKit daemon that this action has")]
    Scheme {
        /// The part before `://`.
        scheme: String,
    },
    /// No port, for which there is no default.
    #[error("it has no port")]
    NoPort,
    /// Not an address.
    #[error("{reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something behind the address that is no option.
    #[error("its option {number} is not `name=value`")]
    NotAnOption {
        /// Which one, from 1.
        number: usize,
    },
    /// An option that nothing has.
    #[error("there is no option `{name}`")]
    UnknownOption {
        /// Its name.
        name: String,
    },
    /// An option that is there more than once.
    #[error("its option `{name}` is given twice")]
    Twice {
        /// Its name.
        name: String,
    },
    /// Certificates for a socket.
    #[error("a Unix socket has no TLS, and `{name}` is for TLS")]
    NoTls {
        /// The option's name.
        name: String,
    },
    /// Certificates in part.
    #[error("TLS needs `cacert`, `cert` and `key`, and {missing} is missing")]
    Incomplete {
        /// What is missing.
        missing: String,
    },
    /// The text of a certificate where a path belongs.
    #[error("its option `{name}` is a text in PEM, not the path of a file")]
    Text {
        /// The option's name.
        name: &'static str,
    },
    /// A file that cannot be read.
    #[error("read `{path}`, its `{name}`: {reason}")]
    Read {
        /// The option's name.
        name: &'static str,
        /// The path as written.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// Certificates that cannot be used.
    #[error("{reason}, {origin}")]
    Unusable {
        /// What cannot be done, and why.
        reason: String,
        /// Where the text comes from.
        origin: String,
    },
}

impl BuilderError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Scheme { scheme } => scheme_help(scheme),
            Self::NoPort => "write it as `tcp://host:1234`: 1234 is what BuildKit's own documents use".to_owned(),
            Self::Malformed { .. } => "write it as `tcp://host:1234` or `unix:///path/buildkitd.sock`".to_owned(),
            Self::NotAnOption { .. } | Self::UnknownOption { .. } | Self::Twice { .. } => format!(
                "write it as `tcp://host:1234,cacert=ca.pem,cert=cert.pem,key=key.pem`; the options are {}",
                words(PARTS.iter().map(|part| part.option).chain([SERVER_NAME]))
            ),
            Self::NoTls { .. } => "leave the options out, or write the address as `tcp://host:1234`".to_owned(),
            Self::Incomplete { .. } => format!(
                "name all three files behind the address, or set {} to their texts; leave all of them out only where the \
                 daemon listens without TLS",
                words(PARTS.iter().map(|part| part.variable))
            ),
            Self::Text { name } => {
                let variable = PARTS.iter().find(|part| part.option == *name).map_or("", |part| part.variable);
                format!("name a file, or set the variable `{variable}` in the `env:` of the step to the text")
            }
            Self::Read { .. } => {
                "write a path in the workspace, relative to it: a container action sees no other files of the host"
                    .to_owned()
            }
            Self::Unusable { .. } => {
                "give certificates and key in PEM, the key not encrypted, and the certificate the one that belongs to it"
                    .to_owned()
            }
        }
    }
}

fn scheme_help(scheme: &str) -> String {
    match scheme {
        "ssh" => {
            "forward the daemon's socket in a step before (`ssh -fNL ./buildkitd.sock:/run/buildkit/buildkitd.sock \
                  HOST`, in the workspace), and write `unix:///github/workspace/buildkitd.sock`"
                .to_owned()
        }
        "docker-container" => {
            "a builder in a container of this engine needs `buildkitd --addr tcp://0.0.0.0:1234` and a \
                               published port; or leave `builder` unset, and the engine's own BuildKit is used"
                .to_owned()
        }
        "kube-pod" => {
            "make the pods a service, and write its address as `tcp://name.namespace.svc:1234`; or forward a \
                       port with `kubectl port-forward` in a step before"
                .to_owned()
        }
        "http" | "https" => "write `tcp://` instead; with `cacert`, `cert` and `key` it is TLS".to_owned(),
        _ => "write it as `tcp://host:1234` or `unix:///path/buildkitd.sock`".to_owned(),
    }
}

/// One of the three texts of mutual TLS.
struct Part {
    option: &'static str,
    variable: &'static str,
}

const PARTS: [Part; 3] = [
    Part { option: "cacert", variable: "BUILDER_NODE_0_AUTH_TLS_CACERT" },
    Part { option: "cert", variable: "BUILDER_NODE_0_AUTH_TLS_CERT" },
    Part { option: "key", variable: "BUILDER_NODE_0_AUTH_TLS_KEY" },
];

/// A text, and where it is from.
struct Given {
    text: String,
    origin: String,
}

/// Reads the input.
pub(super) fn read(reader: &mut Reader<'_>) -> BuilderChoice {
    let text = reader.text(&table::BUILDER).unwrap_or_default();
    if !text.contains("://") {
        let found = WORDS.into_iter().find(|(word, _)| *word == text).map(|(_, choice)| choice);
        return found.unwrap_or_else(|| {
            let allowed = words(WORDS.iter().map(|(word, _)| *word));
            let allowed = format!("{allowed}, `tcp://host:1234`, `unix:///path/buildkitd.sock`");
            reader.fail(&table::BUILDER, Problem::NotOneOf { allowed });
            BuilderChoice::Auto
        });
    }
    match remote(reader.raw, text) {
        Ok(address) => BuilderChoice::Remote(address),
        Err(problem) => {
            // What is behind the address may be a key that somebody took for the value of an option.
            let address = text.split([',', '\n']).next().unwrap_or_default();
            reader.fail_shown(&table::BUILDER, Shown::value(address), problem);
            BuilderChoice::Auto
        }
    }
}

fn remote(raw: &RawInputs, text: &str) -> Result<Address, Problem> {
    let fields = list::entries(text, Commas::Separate);
    let fields = fields.map_err(|unclosed| Problem::UnclosedQuote { line: unclosed.line })?;
    let mut fields = fields.iter().map(|field| field.trim());
    let address = address(fields.next().unwrap_or_default()).map_err(Problem::Builder)?;
    let options = options(fields).map_err(Problem::Builder)?;
    with_tls(raw, address, &options).map_err(Problem::Builder)
}

fn address(text: &str) -> Result<Address, BuilderError> {
    if let Some((scheme @ ("http" | "https"), _)) = text.split_once("://") {
        return Err(BuilderError::Scheme { scheme: scheme.to_owned() });
    }
    let address = Address::parse(text, None).map_err(|error| match error {
        AddressError::Scheme { scheme, .. } => BuilderError::Scheme { scheme },
        AddressError::Malformed { reason, .. } => BuilderError::Malformed { reason },
    })?;
    // An engine has a port of its own, a BuildKit daemon has none.
    let port = text.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse::<u16>().ok());
    if matches!(address, Address::Tcp { .. }) && port.is_none() { Err(BuilderError::NoPort) } else { Ok(address) }
}

fn options<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Vec<(&'a str, &'a str)>, BuilderError> {
    let mut options: Vec<(&str, &str)> = Vec::new();
    for (number, field) in (1..).zip(fields) {
        let option = field.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let Some((name, value)) = option.filter(|(name, value)| is_name(name) && !value.is_empty()) else {
            return Err(BuilderError::NotAnOption { number });
        };
        if name != SERVER_NAME && !PARTS.iter().any(|part| part.option == name) {
            return Err(BuilderError::UnknownOption { name: name.to_owned() });
        }
        if options.iter().any(|(known, _)| *known == name) {
            return Err(BuilderError::Twice { name: name.to_owned() });
        }
        options.push((name, value));
    }
    Ok(options)
}

/// A word that can be shown: no line of a key.
fn is_name(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn with_tls(raw: &RawInputs, address: Address, options: &[(&str, &str)]) -> Result<Address, BuilderError> {
    let Address::Tcp { host, port, .. } = address else {
        return match options.first() {
            Some((name, _)) => Err(BuilderError::NoTls { name: (*name).to_owned() }),
            None => Ok(address),
        };
    };
    let option = |name: &str| options.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let mut given = Vec::with_capacity(PARTS.len());
    for part in &PARTS {
        given.push(match (option(part.option), raw.environment().non_empty(part.variable)) {
            (Some(path), _) => Some(file(raw, part.option, path)?),
            (None, Some(text)) => {
                Some(Given { text: text.to_owned(), origin: format!("in the variable `{}`", part.variable) })
            }
            (None, None) => None,
        });
    }
    let server_name = option(SERVER_NAME).map(str::to_owned);
    if server_name.is_none() && given.iter().all(Option::is_none) {
        return Ok(Address::Tcp { host, port, tls: None });
    }
    let missing = words(PARTS.iter().zip(&given).filter(|(_, given)| given.is_none()).map(|(part, _)| part.option));
    let Ok([Some(ca), Some(certificate), Some(key)]) = <[Option<Given>; 3]>::try_from(given) else {
        return Err(BuilderError::Incomplete { missing });
    };
    let origins = [&ca, &certificate, &key].map(|given| given.origin.clone());
    let texts = TlsTexts { ca: ca.text, certificate: certificate.text, key: Secret::new(key.text), server_name };
    match texts.client_config() {
        Ok(_) => Ok(Address::Tcp { host, port, tls: Some(Tls::Texts(Box::new(texts))) }),
        Err(error) => Err(unusable(&error, origins)),
    }
}

fn unusable(error: &TlsError, [ca, certificate, key]: [String; 3]) -> BuilderError {
    let origin = match error {
        TlsError::Authority(_) => ca,
        TlsError::Certificate(_) => certificate,
        TlsError::Key(_) => key,
        TlsError::Pair(_) => format!("{certificate} and {key}"),
        TlsError::ServerName(_) => format!("in the option `{SERVER_NAME}`"),
    };
    BuilderError::Unusable { reason: chain(error), origin }
}

fn file(raw: &RawInputs, name: &'static str, path: &str) -> Result<Given, BuilderError> {
    if path.contains("-----") || path.contains('\n') {
        return Err(BuilderError::Text { name });
    }
    let text = fs::read_to_string(raw.path(path));
    let text = text.map_err(|error| BuilderError::Read { name, path: path.to_owned(), reason: reason(&error) })?;
    Ok(Given { text, origin: format!("in `{path}`") })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::address::{Address, Tls};
    use crate::inputs::{BuilderChoice, RawInputs, parse};
    use crate::runner::{Context, Environment};

    const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/testdata");
    const FILES: &str = "cacert=ca.pem,cert=./cert.pem,key=key.pem";

    fn read(builder: &str, variables: &[(&str, &str)]) -> Result<BuilderChoice, Vec<(String, String)>> {
        let fixed = [("INPUT_BUILDER", builder), ("INPUT_TAGS", "app"), ("GITHUB_WORKSPACE", TESTDATA)];
        let environment: Environment = variables.iter().copied().chain(fixed).collect();
        let (context, _) = Context::read(&environment, Path::new("/"));
        let raw = RawInputs::new(&environment, &context, Vec::new());
        let inputs = parse(&raw).map(|(inputs, _)| inputs.common().builder.clone());
        inputs.map_err(|errors| errors.iter().map(|error| (error.to_string(), error.help())).collect())
    }

    fn address(builder: &str, variables: &[(&str, &str)]) -> Address {
        match read(builder, variables) {
            Ok(BuilderChoice::Remote(address)) => address,
            other => panic!("{builder}: {other:?}"),
        }
    }

    fn texts() -> [String; 3] {
        ["ca.pem", "cert.pem", "key.pem"].map(|name| std::fs::read_to_string(format!("{TESTDATA}/{name}")).unwrap())
    }

    #[test]
    fn an_address_alone() {
        for (text, expected) in [
            ("tcp://buildkitd:1234", "tcp://buildkitd:1234"),
            ("tcp://[::1]:1234/", "tcp://[::1]:1234"),
            (" unix:///run/buildkit/buildkitd.sock ", "unix:///run/buildkit/buildkitd.sock"),
        ] {
            let address = address(text, &[]);
            assert_eq!(address.to_string(), expected);
            assert!(!matches!(address, Address::Tcp { tls: Some(_), .. }));
        }
    }

    #[test]
    fn certificates_of_files_or_of_variables() {
        let [ca, certificate, key] = texts();
        let variables = [
            ("BUILDER_NODE_0_AUTH_TLS_CACERT", ca.as_str()),
            ("BUILDER_NODE_0_AUTH_TLS_CERT", certificate.as_str()),
            ("BUILDER_NODE_0_AUTH_TLS_KEY", key.as_str()),
        ];
        let mixed = "tcp://b:1234,cacert=ca.pem,servername=builder.example";
        for (text, variables, name) in [
            (format!("tcp://b:1234,{FILES}"), &[][..], None),
            (format!("tcp://b:1234\n{}", FILES.replace(',', "\n")), &[], None),
            ("tcp://b:1234".to_owned(), &variables, None),
            (mixed.to_owned(), &variables[1..], Some("builder.example")),
        ] {
            let Address::Tcp { tls: Some(Tls::Texts(texts)), .. } = address(&text, variables) else { panic!("{text}") };
            assert_eq!((texts.ca.as_str(), texts.certificate.as_str()), (ca.as_str(), certificate.as_str()));
            assert_eq!((texts.key.expose(), texts.server_name.as_deref()), (key.as_str(), name));
        }
        // As in docker/setup-buildx-action, variables are for TCP alone.
        assert_eq!(address("unix:///b.sock", &variables).to_string(), "unix:///b.sock");
    }

    #[test]
    fn every_mistake_has_a_way_out() {
        let [_, certificate, key] = texts();
        let pem = format!("tcp://b:1234,cacert=ca.pem,cert=cert.pem,\"key={key}\"");
        let in_place = "option `key` is a text in PEM";
        for (text, said, way_out) in [
            ("ssh://me@host", "ssh:// is no way", "ssh -fNL"),
            ("docker-container://name", "docker-container:// is no way", "engine's own BuildKit"),
            ("kube-pod://name", "kube-pod:// is no way", "kubectl port-forward"),
            ("https://b:1234", "https:// is no way", "`tcp://` instead"),
            ("npipe:////./pipe/x", "npipe:// is no way", "tcp://host:1234"),
            ("tcp://b", "it has no port", "tcp://host:1234"),
            ("tcp://[::1]", "it has no port", "tcp://host:1234"),
            ("tcp://b:port", "invalid port", "tcp://host:1234"),
            ("unix://b.sock", "must be absolute", "unix:///path"),
            ("remote", "is not one of `auto`", "tcp://host:1234"),
            ("tcp://b:1234,cacert", "option 1 is not `name=value`", "servername"),
            ("tcp://b:1234,ca=ca.pem", "there is no option `ca`", "`cacert`"),
            ("tcp://b:1234,key=a,key=b", "option `key` is given twice", "cacert"),
            ("unix:///b.sock,key=key.pem", "a Unix socket has no TLS, and `key`", "leave the options out"),
            ("tcp://b:1234,cacert=ca.pem", "`cert`, `key` is missing", "BUILDER_NODE_0_AUTH_TLS_KEY"),
            ("tcp://b:1234,servername=b", "`cacert`, `cert`, `key` is missing", "without TLS"),
            ("tcp://b:1234,cacert=no.pem", "read `no.pem`, its `cacert`: there is no such file", "workspace"),
            ("tcp://b:1234,cacert=key.pem,cert=cert.pem,key=key.pem", "no certificate in it, in `key.pem`", "PEM"),
            ("tcp://b:1234,cacert=ca.pem,cert=cert.pem,key=cert.pem", "private key: no items found", "not encrypted"),
            ("tcp://b:1234,cacert=ca.pem,cert=cert.pem,key=server.key", "`cert.pem` and in `server.key`", "belongs"),
            (&pem, in_place, "BUILDER_NODE_0_AUTH_TLS_KEY"),
            ("tcp://b:1234,\"key=a", "is never closed", "close it"),
        ] {
            let errors = read(text, &[]).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            let (error, help) = &errors[0];
            assert!(error.starts_with("input `builder`, ") && error.contains(said), "{text}: {error}");
            assert!(help.contains(way_out), "{text}: {help}");
        }
        let variables = [("BUILDER_NODE_0_AUTH_TLS_KEY", key.as_str()), ("BUILDER_NODE_0_AUTH_TLS_CERT", &certificate)];
        let shown = format!("{:?}", [read(&pem, &[]), read("tcp://b:1234", &variables)]);
        assert!(shown.contains(in_place) && shown.contains("`cacert` is missing"), "{shown}");
        assert!(!key.lines().any(|line| shown.contains(line)), "{shown}");
    }
}
