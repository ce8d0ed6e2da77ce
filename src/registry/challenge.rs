//! What a registry asks for before it answers: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

/// One way to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from somewhere else (distribution `docs/content/spec/auth/token.md`).
    Bearer {
        /// Where to get it.
        realm: String,
        /// Whom it is for.
        service: Option<String>,
    },
}

/// All challenges of one header that we know, the best first: a registry that has tokens prefers them.
pub(super) fn read(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = schemes(header)
        .into_iter()
        .filter_map(|(name, parameters)| {
            let parameter = |wanted: &str| {
                parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
            };
            if name.eq_ignore_ascii_case("basic") {
                Some(Challenge::Basic)
            } else if name.eq_ignore_ascii_case("bearer") {
                Some(Challenge::Bearer { realm: parameter("realm")?, service: parameter("service") })
            } else {
                None
            }
        })
        .collect();
    challenges.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    challenges
}

type Scheme = (String, Vec<(String, String)>);

/// `Name key=value, key="value", Name …`: a word without `=` after it begins a new scheme.
fn schemes(header: &str) -> Vec<Scheme> {
    let mut schemes: Vec<Scheme> = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        match after.trim_start().strip_prefix('=') {
            Some(value) => {
                let (value, after) = value_of(value.trim_start());
                if let Some((_, parameters)) = schemes.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest = after;
            }
            None => {
                schemes.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', '\t', ',', '=']);
    }
    schemes
}

/// A token or a quoted string, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Challenge, read};

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn reads_what_registries_write() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push""#;
        for (header, expected) in [
            (hub, vec![bearer("https://auth.docker.io/token", Some("registry.docker.io"))]),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("bearer realm=https://a/b", vec![bearer("https://a/b", None)]),
            (r#"BASIC realm="x", Bearer service=s, realm="y\"z""#, vec![bearer("y\"z", Some("s")), Challenge::Basic]),
            (r#"Negotiate, Basic realm=x"#, vec![Challenge::Basic]),
            ("Bearer scope=x", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(read(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(header in "[A-Za-z=\", \\\\é]{0,40}") {
            read(&header);
        }
    }
}
