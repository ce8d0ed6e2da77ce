//! Records as builds write them, and worse.

mod bases;
mod distinct;
mod importer;
mod keys;
mod merging;
mod model;
mod offering;
mod reading;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Digest, Records};

/// A digest by name.
#[expect(clippy::needless_pass_by_value, reason = "names are literals mostly")]
fn digest(name: impl ToString) -> Digest {
    Digest::of(name.to_string().as_bytes())
}

/// A second of one day, as Go writes it.
fn second(second: u32) -> String {
    format!("2026-11-01T10:{:02}:{:02}Z", second / 60, second % 60)
}

/// One record of a test, which refers to others by index.
#[derive(Debug, Clone, Default)]
struct Spec {
    digest: String,
    inputs: Vec<Vec<(&'static str, usize)>>,
    /// Layers, lowest first and by one letter each, and the second of the build.
    results: Vec<(String, u32)>,
}

/// A record without a result.
fn key(digest: &str, inputs: &[&[(&'static str, usize)]]) -> Spec {
    Spec {
        digest: digest.to_owned(),
        inputs: inputs.iter().map(|alternatives| alternatives.to_vec()).collect(),
        results: Vec::new(),
    }
}

/// A record with a result.
fn built(digest: &str, inputs: &[&[(&'static str, usize)]], layers: &str, second: u32) -> Spec {
    Spec { results: vec![(layers.to_owned(), second)], ..key(digest, inputs) }
}

/// A cache export with these records, in the form of an image index: manifest and config.
fn export(specs: &[Spec]) -> (Vec<u8>, Vec<u8>) {
    let chains: BTreeSet<String> = specs
        .iter()
        .flat_map(|spec| &spec.results)
        .flat_map(|(layers, _)| (1..=layers.len()).map(|end| layers.chars().take(end).collect()))
        .collect();
    let index = |chain: &str| chains.iter().position(|known| known == chain).unwrap();
    let layers: Vec<Value> = chains
        .iter()
        .map(|chain| {
            let (below, top) = chain.split_at(chain.len() - 1);
            let parent = if below.is_empty() { -1 } else { i64::try_from(index(below)).unwrap() };
            match parent {
                // As Go leaves it out.
                0 => json!({"blob": digest(top)}),
                _ => json!({"blob": digest(top), "parent": parent}),
            }
        })
        .collect();
    let records: Vec<Value> = specs
        .iter()
        .map(|spec| {
            let mut record = json!({"digest": digest(&spec.digest)});
            if !spec.inputs.is_empty() {
                let link = |(selector, link): &(&str, usize)| match *selector {
                    "" => json!({"link": link}),
                    selector => json!({"selector": selector, "link": link}),
                };
                record["inputs"] = spec.inputs.iter().map(|links| links.iter().map(link).collect::<Value>()).collect();
            }
            if !spec.results.is_empty() {
                let result = |(layers, at): &(String, u32)| json!({"layer": index(layers), "createdAt": second(*at)});
                record["layers"] = spec.results.iter().map(result).collect();
            }
            record
        })
        .collect();
    let config = json!({"layers": layers, "records": records}).to_string().into_bytes();
    let blobs: BTreeSet<char> = chains.iter().flat_map(|chain| chain.chars()).collect();
    let mut manifests: Vec<Value> = blobs.into_iter().map(descriptor).collect();
    manifests.push(json!({
        "mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": Digest::of(&config), "size": config.len(),
    }));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
    });
    (manifest.to_string().into_bytes(), config)
}

fn descriptor(layer: char) -> Value {
    json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": digest(layer),
        "size": 32,
        "annotations": {
            "buildkit/createdat": "2026-11-01T10:00:00.123456789Z",
            "buildkit/description": format!("RUN {layer}"),
            "containerd.io/uncompressed": digest(format!("{layer} uncompressed")),
        },
    })
}

/// The records of such an export.
fn records(specs: &[Spec]) -> Records {
    let (manifest, config) = export(specs);
    Records::from_export(&manifest, &config).unwrap()
}

/// What is offered of these sources, read as an export: its config and the records.
fn offered(sources: &[Records]) -> Option<(Value, Records)> {
    let offer = super::Offer::new(sources, super::Importer::Careful, None)?;
    let [(_, manifest), (_, config)] = offer.blobs.as_slice() else { panic!("not two blobs") };
    Some((serde_json::from_slice(config).unwrap(), Records::from_export(manifest, config).unwrap()))
}
