//! Manifests, as far as a clear reads them: of which kind one is, and what else it names.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Digest;

/// What a manifest is. A list of the kinds that are asked for in `Accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerList,
    /// `application/vnd.docker.distribution.manifest.v1+prettyjws`, of images pushed before 2017.
    DockerSchema1,
}

impl MediaType {
    const ALL: [Self; 5] =
        [Self::OciManifest, Self::OciIndex, Self::DockerManifest, Self::DockerList, Self::DockerSchema1];

    /// What to write into `Accept`: a registry converts or refuses what is not in it. Any other kind will do as well, as
    /// containerd's own resolver asks: an index of a kind that we do not know is one whose parts must be protected.
    pub(super) fn accept() -> String {
        Self::ALL.map(|media_type| media_type.to_string()).join(", ") + ", */*"
    }

    /// The kind of a `Content-Type`, whatever parameters follow it.
    pub(super) fn read(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|media_type| media_type.text().eq_ignore_ascii_case(essence))
    }

    /// Whether such a manifest names other manifests.
    pub fn is_index(self) -> bool {
        match self {
            Self::OciIndex | Self::DockerList => true,
            Self::OciManifest | Self::DockerManifest | Self::DockerSchema1 => false,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::DockerSchema1 => "application/vnd.docker.distribution.manifest.v1+prettyjws",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What a registry says of a manifest without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its name.
    pub digest: Digest,
    /// Its kind; `None` if it is one that we do not know.
    pub media_type: Option<MediaType>,
}

/// A manifest whose digest is that of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its name and kind.
    pub descriptor: Descriptor,
    /// Manifests that it names: those of an index; of anything else none.
    pub children: Vec<Digest>,
    /// What it is, as it was sent.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Child {
    digest: String,
}

/// The manifests that these bytes name, whatever kind they say they are: whoever has `manifests` is treated as an index.
///
/// # Errors
/// What is wrong with them, as a phrase.
pub(super) fn children(bytes: &[u8]) -> Result<Vec<Digest>, String> {
    let unreadable = |error| format!("a manifest that cannot be read: {error}");
    let mut manifest: Map<String, Value> = serde_json::from_slice(bytes).map_err(unreadable)?;
    // Go writes `null` for a list without entries.
    let manifests = manifest.remove("manifests").unwrap_or_default();
    let manifests: Option<Vec<Child>> = serde_json::from_value(manifests).map_err(unreadable)?;
    let digest =
        |child: Child| child.digest.parse().map_err(|error| format!("an index with '{}': {error}", child.digest));
    manifests.unwrap_or_default().into_iter().map(digest).collect()
}

#[cfg(test)]
mod tests {
    use super::{MediaType, children};

    #[test]
    fn kinds_are_told_by_their_content_type() {
        for kind in MediaType::ALL {
            assert_eq!(MediaType::read(&format!("{kind}; charset=utf-8")), Some(kind));
            assert!(MediaType::accept().contains(&kind.to_string()));
        }
        assert_eq!(MediaType::read("application/json"), None);
        assert!(MediaType::DockerList.is_index() && !MediaType::DockerManifest.is_index());
    }

    #[test]
    fn children_are_those_of_an_index() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{digest}","size":1}}]}}"#);
        assert_eq!(children(index.as_bytes()).unwrap(), [digest.parse().unwrap()]);
        assert_eq!(children(br#"{"schemaVersion":2,"layers":[{}]}"#).unwrap(), []);
        assert_eq!(children(br#"{"manifests":null}"#).unwrap(), []);
        for bad in ["", "[]", r#"{"manifests":[{"digest":"x"}]}"#, r#"{"manifests":[{}]}"#] {
            assert!(children(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
