//! What the builder asks of a directory, read from the call's metadata (`filesync.go`: `encodeOpts`, `decodeOpts`).

use tonic::metadata::{KeyAndValueRef, MetadataMap};

/// One `DiffCopy` call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SyncRequest {
    /// `context`, `dockerfile` or a named context.
    pub(super) directory: String,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    /// Paths to include together with what symbolic links in them lead to.
    pub(super) follow: Vec<String>,
}

impl SyncRequest {
    /// Unknown keys are ignored; absent ones are empty.
    ///
    /// `override-excludes`, which builders before 0.12 send too, needs no answer: a client of today has no patterns
    /// of its own to override.
    pub(super) fn parse(metadata: &MetadataMap) -> Self {
        Self {
            directory: values(metadata, "dir-name").into_iter().next().unwrap_or_default(),
            include: values(metadata, "include-patterns"),
            exclude: values(metadata, "exclude-patterns"),
            follow: values(metadata, "followpaths"),
        }
    }
}

fn values(metadata: &MetadataMap, key: &str) -> Vec<String> {
    let encoded = raw(metadata, &format!("{key}-encoded")).first().is_some_and(|value| is_true(value));
    let values = raw(metadata, key).into_iter();
    if encoded { values.map(query_unescape).collect() } else { values.map(text).collect() }
}

fn raw<'a>(metadata: &'a MetadataMap, key: &str) -> Vec<&'a [u8]> {
    metadata
        .iter()
        .filter_map(|pair| match pair {
            KeyAndValueRef::Ascii(name, value) if name.as_str() == key => Some(value.as_encoded_bytes()),
            KeyAndValueRef::Ascii(..) | KeyAndValueRef::Binary(..) => None,
        })
        .collect()
}

/// Old builders put UTF-8 into a header as it is.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Go's `strconv.ParseBool`.
fn is_true(value: &[u8]) -> bool {
    matches!(value, b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True")
}

/// Go's `url.QueryUnescape`; a malformed value is the empty string, as upstream ignores the error.
fn query_unescape(value: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(high), Some(low)) => decoded.push(high << 4 | low),
                _ => return String::new(),
            },
            byte => decoded.push(*byte),
        }
    }
    text(&decoded)
}

fn hex(digit: &u8) -> Option<u8> {
    char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::SyncRequest;
    use tonic::metadata::{AsciiMetadataKey, MetadataMap, MetadataValue};

    fn metadata(pairs: &[(&'static str, &[u8])]) -> MetadataMap {
        let mut map = MetadataMap::new();
        for (key, value) in pairs {
            map.append(AsciiMetadataKey::from_static(key), MetadataValue::try_from(*value).unwrap());
        }
        map
    }

    #[test]
    fn reads_every_list_in_its_order() {
        let request = SyncRequest::parse(&metadata(&[
            ("dir-name", b"context"),
            ("exclude-patterns", b"*.log"),
            ("exclude-patterns", b"!keep me.log"),
            ("include-patterns", b"src"),
            ("followpaths", b"a%20b+c"),
            ("override-excludes", b"true"),
        ]));
        assert_eq!(
            request,
            SyncRequest {
                directory: "context".to_owned(),
                include: vec!["src".to_owned()],
                exclude: vec!["*.log".to_owned(), "!keep me.log".to_owned()],
                follow: vec!["a%20b+c".to_owned()],
            }
        );
    }

    #[test]
    fn decodes_what_is_marked_as_encoded() {
        let request = SyncRequest::parse(&metadata(&[
            ("followpaths", b"gr%C3%B6%C3%9Fe%2Fa+b"),
            ("followpaths", b"broken%zz"),
            ("followpaths-encoded", b"1"),
            ("exclude-patterns", b"a%20b"),
            ("exclude-patterns-encoded", b"0"),
        ]));
        assert_eq!(request.follow, ["größe/a b", ""]);
        assert_eq!(request.exclude, ["a%20b"]);
    }

    #[test]
    fn takes_bare_utf8_from_old_builders() {
        assert_eq!(SyncRequest::parse(&metadata(&[("followpaths", "größe".as_bytes())])).follow, ["größe"]);
    }

    #[test]
    fn nothing_asked_is_nothing() {
        assert_eq!(SyncRequest::parse(&MetadataMap::new()), SyncRequest::default());
    }
}
