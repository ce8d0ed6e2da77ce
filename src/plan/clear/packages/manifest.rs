//! What a manifest says about others.

use serde::Deserialize;

/// What a manifest says about others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The digests of the manifests that an index is made of: platforms, and attestations (`unknown/unknown`).
    pub children: Vec<String>,
    /// The digest of the manifest that this one is about (OCI `subject`): a signature, an attestation.
    pub subject: Option<String>,
    /// Digests and bytes of its config and layers.
    pub blobs: Vec<(String, u64)>,
}

/// The fields of OCI's image manifest, image index and artifact manifest, and of Docker's two.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<u32>,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default, alias = "blobs")]
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    size: u64,
}

impl Manifest {
    /// Reads a manifest; `None` if it is none that could be understood.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(bytes).ok()?;
        // Docker's first schema has no digests of this kind, and an answer without either is no manifest.
        if document.schema_version != Some(2) && document.media_type.is_none() {
            return None;
        }
        let blobs = document.config.into_iter().chain(document.layers.into_iter().flatten());
        Some(Self {
            children: document.manifests.into_iter().flatten().map(|child| child.digest).collect(),
            subject: document.subject.map(|subject| subject.digest),
            blobs: blobs.map(|blob| (blob.digest, blob.size)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn reads_every_kind() {
        let index = br#"{"schemaVersion":2,"manifests":[{"digest":"sha256:a","size":1},
            {"digest":"sha256:b","size":1,"platform":{"os":"unknown","architecture":"unknown"}}]}"#;
        let children = vec!["sha256:a".to_owned(), "sha256:b".to_owned()];
        assert_eq!(Manifest::parse(index), Some(Manifest { children, ..Manifest::default() }));
        let signature = br#"{"schemaVersion":2,"config":{"digest":"sha256:c","size":2},"subject":{"digest":"sha256:s"},
            "layers":[{"digest":"sha256:l","size":40}]}"#;
        let read = Manifest::parse(signature).unwrap();
        assert_eq!(read.subject.as_deref(), Some("sha256:s"));
        assert_eq!(read.blobs, [("sha256:c".to_owned(), 2), ("sha256:l".to_owned(), 40)]);
        let artifact =
            br#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{"digest":"sha256:l","size":4}],
            "subject":{"digest":"sha256:s"}}"#;
        assert_eq!(Manifest::parse(artifact).unwrap().blobs.len(), 1);
        for no_manifest in
            [&b"{}"[..], b"", b"[]", br#"{"schemaVersion":1}"#, br#"{"schemaVersion":2,"manifests":[{}]}"#]
        {
            assert_eq!(Manifest::parse(no_manifest), None);
        }
    }
}
