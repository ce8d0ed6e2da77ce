//! Documents as BuildKit writes them, and every reason to refuse one.

use std::collections::BTreeMap;
use std::error::Error as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Digest, Layer, Records, RecordsError, probe};
use super::{built, descriptor, digest, export, key, second};

/// Layers a and b described by a manifest, and this config.
fn read(config: &Value) -> Result<Records, RecordsError> {
    let config = config.to_string();
    let manifest = json!({"manifests": [descriptor('a'), descriptor('b'), config_descriptor(&config)]});
    Records::from_export(manifest.to_string().as_bytes(), config.as_bytes())
}

fn config_descriptor(config: &str) -> Value {
    json!({
        "mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": Digest::of(config.as_bytes()),
        "size": config.len(),
    })
}

/// Layers a and b upon it, and these records.
fn config(records: &Value) -> Value {
    json!({"layers": [{"blob": digest("a"), "parent": -1}, {"blob": digest("b")}], "records": records})
}

fn at(layer: i64) -> Value {
    json!([{"layer": layer, "createdAt": second(1)}])
}

/// The layers of each result, lowest first.
fn results(records: &Records) -> Vec<Vec<Digest>> {
    records.results().map(|result| result.layers().iter().map(|layer| layer.blob).collect()).collect()
}

#[test]
fn both_forms_of_a_manifest_are_read() {
    let (index, config) = export(&[key("alpine", &[]), built("run", &[&[("", 0)]], "ab", 1)]);
    let records = Records::from_export(&index, &config).unwrap();
    assert_eq!(results(&records), [[digest("a"), digest("b")]]);
    assert_eq!(records.layers()[1].diff_id, digest("b uncompressed"));
    assert_eq!(records.layers()[1].created_at.as_deref(), Some("2026-11-01T10:00:00.123456789Z"));
    assert_eq!(records.layers()[1].description.as_deref(), Some("RUN b"));

    let index: Value = serde_json::from_slice(&index).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    let image = json!({"schemaVersion": 2, "layers": manifests[..2], "config": manifests[2]}).to_string();
    assert_eq!(Records::from_export(image.as_bytes(), &config).unwrap(), records);

    let blobs = |documents: &[&[u8]]| -> BTreeMap<String, Bytes> {
        documents.iter().map(|blob| (Digest::of(blob).to_string(), Bytes::copy_from_slice(blob))).collect()
    };
    let all = blobs(&[&config, image.as_bytes(), b"a layer"]);
    assert_eq!(Records::from_exported_blobs(&all).unwrap(), records);
    for (missing, error) in [
        (blobs(&[&config]), "find cache manifest: no blob of the export is one"),
        (blobs(&[image.as_bytes()]), "find cache manifest: no blob of the export is one"),
        (
            blobs(&[&config, image.as_bytes(), index.to_string().as_bytes()]),
            "find cache manifest: more than one blob of the export is one",
        ),
    ] {
        assert_eq!(Records::from_exported_blobs(&missing).unwrap_err().to_string(), error);
    }
    let mut wrong = all.clone();
    let manifest = wrong.remove(&Digest::of(image.as_bytes()).to_string()).unwrap();
    wrong.insert(digest("another").to_string(), manifest);
    assert!(matches!(Records::from_exported_blobs(&wrong), Err(RecordsError::ContentMismatch { .. })));
    let mut wrong = all;
    wrong.insert(Digest::of(&config).to_string(), Bytes::from_static(b"{}"));
    assert!(matches!(Records::from_exported_blobs(&wrong), Err(RecordsError::ContentMismatch { .. })));
}

#[test]
fn records_come_in_any_order_and_chains_count_as_results() {
    // As BuildKit sorts them, inputs are anywhere; `COPY --link` writes chains.
    let records = read(&config(&json!([
        {"digest": digest("copy"), "chains": [{"createdAt": second(1), "layers": [1, 0]}],
         "inputs": [[{"link": 2}], [{"selector": "/x", "link": 1}]]},
        {"digest": digest("sources")},
        {"digest": digest("run"), "layers": at(1), "inputs": [[{"link": 1}]]},
    ])));
    let records = records.unwrap();
    assert_eq!(results(&records), [[digest("a"), digest("b")], [digest("b"), digest("a")]]);
    let digests: Vec<_> = records.records.iter().map(|record| record.digest).collect();
    assert_eq!(digests, ["sources", "run", "copy"].map(digest));
}

#[test]
fn what_no_build_can_ask_for_is_left_out() {
    let random = "random:7c9a";
    let alpine = json!({"digest": digest("alpine"), "layers": at(0)});
    for (rest, records, results) in [
        // A digest made up for one build, and what only follows from it.
        (vec![json!({"digest": random, "layers": at(0)})], 1, 1),
        (
            vec![
                json!({"digest": random}),
                json!({"digest": digest("copy"), "layers": at(1), "inputs": [[{"link": 0}, {"link": 1}]]}),
                json!({"digest": digest("run"), "layers": at(1), "inputs": [[{"link": 0}], [{"link": 1}]]}),
            ],
            2,
            2,
        ),
        // An input without alternatives.
        (vec![json!({"digest": digest("copy"), "layers": at(1), "inputs": [[{"link": 0}], null]})], 1, 1),
        // What has no result and leads to none.
        (vec![json!({"digest": digest("copy"), "inputs": [[{"link": 0}]]})], 1, 1),
        // The same result twice; no time, and Go's zero.
        (vec![json!({"digest": digest("x"), "layers": [at(1)[0], at(1)[0]], "chains": null, "inputs": null})], 2, 2),
        (
            vec![
                json!({"digest": digest("x"), "layers": [{"layer": 1, "createdAt": "0001-01-01T00:00:00Z"}, {"layer": 1}]}),
            ],
            2,
            2,
        ),
    ] {
        let list: Vec<_> = if rest[0]["digest"] == json!(random) && rest.len() > 1 {
            vec![alpine.clone(), rest[0].clone(), rest[1].clone(), rest[2].clone()]
        } else {
            [vec![alpine.clone()], rest.clone()].concat()
        };
        let read = read(&config(&json!(list))).unwrap();
        assert_eq!((read.count(), read.results().count()), (records, results), "{rest:?}");
    }
}

#[test]
fn a_result_without_all_of_its_layers_is_left_out() {
    let described = |manifest: Value| {
        let config = config(&json!([
            {"digest": digest("x"), "layers": at(0)},
            {"digest": digest("y"), "layers": at(1)},
            {"digest": digest("z"), "chains": [{"layers": [1]}]},
        ]));
        let config = config.to_string();
        let mut manifests = vec![config_descriptor(&config)];
        manifests.extend(manifest.as_array().unwrap().clone());
        let manifest = json!({"manifests": manifests}).to_string();
        Records::from_export(manifest.as_bytes(), config.as_bytes()).unwrap().count()
    };
    let mut nameless = descriptor('a');
    nameless["annotations"] = Value::Null;
    assert_eq!(described(json!([descriptor('a'), descriptor('b')])), 3);
    assert_eq!(described(json!([descriptor('a')])), 1);
    assert_eq!(described(json!([descriptor('b')])), 1);
    assert_eq!(described(json!([nameless, descriptor('b')])), 1);
    assert_eq!(described(json!([])), 0);
}

#[test]
fn unsound_records_are_refused_with_a_reason() {
    let x = digest("x");
    let run = |links: Value| json!({"digest": x, "inputs": links, "layers": at(0)});
    let long = "s".repeat(300);
    for (document, error) in [
        (config(&json!([{"digest": "sha256:zz"}])), "check digest of record 0: not a sha256 digest"),
        (config(&json!([run(json!([[{"link": 1}]]))])), "check record 0: its input refers to record 1"),
        (config(&json!([run(json!([[{"link": -1}]]))])), "check record 0: its input refers to record -1"),
        (config(&json!([run(json!([[{"link": 0}]]))])), "check record 0: it is an input of itself"),
        (
            config(&json!([run(json!([[{"link": 1}]])), run(json!([[{"link": 0}]]))])),
            "check record 0: it is an input of itself",
        ),
        (config(&json!([{"digest": x, "layers": at(2)}])), "check layers: index 2 does not exist"),
        (config(&json!([{"digest": x, "layers": at(-1)}])), "check layers: index -1 does not exist"),
        (config(&json!([{"digest": x, "chains": [{"layers": [0, 7]}]}])), "check layers: index 7 does not exist"),
        (json!({"layers": [{"blob": x, "parent": -2}]}), "check layers: index -2 does not exist"),
        (json!({"layers": [{"blob": x, "parent": 1}]}), "check layers: index 1 does not exist"),
        (json!({"layers": [{"blob": x}]}), "check layer 0: it is a parent of itself"),
        (
            json!({"layers": [{"blob": x, "parent": 1}, {"blob": x, "parent": 0}]}),
            "check layer 0: it is a parent of itself",
        ),
        (
            config(&json!([{"digest": x, "layers": [{"layer": 0, "createdAt": "yesterday"}]}])),
            "check record 0: its result has no valid time",
        ),
        // In UTC it is in the year 10000, which nobody can write.
        (
            config(&json!([{"digest": x, "layers": [{"layer": 0, "createdAt": "9999-12-31T23:59:59-23:59"}]}])),
            "check record 0: its result has no valid time",
        ),
        (
            config(&json!([{"digest": x}, run(json!([[{"link": 0, "selector": long}]]))])),
            "read cache records: more than 256 bytes in a selector",
        ),
        (
            json!({
                "layers": (-1..600).map(|parent| json!({"blob": digest("a"), "parent": parent})).collect::<Value>(),
            }),
            "read cache records: more than 512 layers above each other",
        ),
        (
            config(
                &(0..=100)
                    .map(|_| run(json!([vec![json!({"link": 101}); 1_000]])))
                    .chain([json!({"digest": x})])
                    .collect(),
            ),
            "read cache records: more than 100000 links",
        ),
    ] {
        assert_eq!(read(&document).unwrap_err().to_string(), error);
    }
}

#[test]
fn what_is_no_config_is_refused_by_the_parser() {
    let list = |count: usize, value: Value| vec![value; count];
    for (document, reason) in [
        (json!(1), "invalid type"),
        (json!({"records": [{}]}), "missing field `digest`"),
        (json!({"records": {}}), "expected a list of at most 20000 values"),
        (json!({"layers": [{"blob": "sha256:0"}]}), "not 'sha256:' and 64"),
        (json!({"layers": [{"blob": digest("a"), "parent": 1e99}]}), "floating point"),
        (json!({"records": list(20_001, json!({"digest": ""}))}), "more than 20000 values"),
        (json!({"records": [{"digest": "", "inputs": list(513, json!([]))}]}), "more than 512 values"),
        (json!({"records": [{"digest": "", "inputs": [list(1_025, json!({}))]}]}), "more than 1024 values"),
        (json!({"records": [{"digest": "", "layers": list(65, json!({}))}]}), "more than 64 values"),
        (json!({"records": [{"digest": "", "chains": [{"layers": list(513, json!(0))}]}]}), "more than 512 values"),
    ] {
        let error = read(&document).unwrap_err();
        assert!(matches!(error, RecordsError::ParseConfig(_)), "{error}");
        let source = error.source().unwrap().to_string();
        assert!(source.contains(reason), "{source}");
    }
    let deep = format!("{{\"records\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let manifest = json!({"manifests": [config_descriptor(&deep)]}).to_string();
    assert!(Records::from_export(manifest.as_bytes(), deep.as_bytes()).is_err());
}

/// What to break in a descriptor, and the reason that is expected.
type Change = (fn(&mut Value), &'static str);

#[test]
fn a_manifest_is_checked_too() {
    let broken = |change: fn(&mut Value)| {
        let config = config(&json!([])).to_string();
        let mut layer = descriptor('a');
        change(&mut layer);
        let manifest = json!({"manifests": [layer, config_descriptor(&config)]}).to_string();
        Records::from_export(manifest.as_bytes(), config.as_bytes()).unwrap_err()
    };
    let changes: [Change; 5] = [
        (|layer| layer["mediaType"] = json!("x".repeat(129)), "its description is not valid"),
        (|layer| layer["annotations"]["buildkit/createdat"] = json!("yesterday"), "its description is not valid"),
        (|layer| layer["size"] = json!(-1), "parse cache manifest"),
        (|layer| layer["digest"] = json!("sha512:0"), "parse cache manifest"),
        (|layer| layer["annotations"] = json!([]), "parse cache manifest"),
    ];
    for (change, reason) in changes {
        let error = broken(change).to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(matches!(Records::from_export(b"{}", b"{}"), Err(RecordsError::NoManifest)));
    assert!(matches!(Records::from_export(b"[", b"{}"), Err(RecordsError::ParseManifest(_))));
    let large = vec![b' '; 5 << 20];
    assert!(matches!(Records::from_export(&large, b"{}"), Err(RecordsError::TooLarge { .. })));
    assert!(matches!(Records::from_export(b"{}", &large), Err(RecordsError::TooLarge { .. })));
    assert!(matches!(Records::from_image_config(&large), Err(RecordsError::TooLarge { .. })));
}

/// The config of an image with layers a and b, with a step without a layer between them.
fn image(cache: Option<&Value>) -> Value {
    let mut image = json!({
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [digest("a"), digest("b")]},
        "history": [
            {"created": "2026-11-01T10:00:00.5+01:00", "created_by": "ADD rootfs.tar /"},
            {"created": "2026-11-01T11:00:00Z", "created_by": "ENV A=1", "empty_layer": true},
            {"created": "2026-11-01T12:00:00Z", "created_by": "RUN make", "comment": "buildkit.dockerfile.v0"},
        ],
    });
    if let Some(cache) = cache {
        image["moby.buildkit.cache.v0"] = json!(STANDARD.encode(cache.to_string()));
    }
    image
}

#[test]
fn an_image_tells_its_layers_and_how_they_were_made() {
    let cache = json!([
        {"digest": digest("alpine")},
        {"digest": digest("run"), "layers": at(1), "inputs": [[{"link": 0}]]},
    ]);
    let image = image(Some(&cache)).to_string();
    let records = Records::from_image_config(image.as_bytes()).unwrap().unwrap();
    assert_eq!(results(&records), [[digest("a"), digest("b")]]);
    let layer = |name, created_at: &str, description: &str| Layer {
        blob: digest(name),
        diff_id: digest(name),
        media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned(),
        size: 1,
        created_at: Some(created_at.to_owned()),
        description: Some(description.to_owned()),
    };
    let (a, b) =
        (layer("a", "2026-11-01T10:00:00.5+01:00", "ADD rootfs.tar /"), layer("b", "2026-11-01T12:00:00Z", "RUN make"));
    assert_eq!(records.layers(), [a.clone(), b.clone()]);

    let stored = [("a", a), ("b", b)].map(|(name, layer)| Layer {
        blob: digest(format!("{name} compressed")),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        size: 77,
        created_at: None,
        ..layer
    });
    let records = Records::from_image_config_with_layers(image.as_bytes(), &stored).unwrap().unwrap();
    assert_eq!(results(&records), [["a compressed", "b compressed"].map(digest)]);
    assert_eq!(records.layers()[1].created_at.as_deref(), Some("2026-11-01T12:00:00Z"));
    assert_eq!(records.layers()[1].size, 77);

    let read = |layers: &[Layer]| Records::from_image_config_with_layers(image.as_bytes(), layers);
    assert!(matches!(read(&stored[..1]), Err(RecordsError::LayerCount { diff_ids: 2, layers: 1 })));
    let [first, second] = stored;
    assert!(matches!(read(&[second, first]), Err(RecordsError::InvalidLayer { .. })));
}

#[test]
fn images_without_records_are_no_error_and_broken_ones_are() {
    let read = |image: &Value| Records::from_image_config(image.to_string().as_bytes());
    assert!(read(&image(None)).unwrap().is_none());
    assert!(read(&image(Some(&json!([])))).unwrap().unwrap().is_empty());
    assert!(read(&image(Some(&json!(null)))).unwrap().unwrap().is_empty());
    let mut broken = image(None);
    broken["moby.buildkit.cache.v0"] = json!("%");
    assert!(matches!(read(&broken), Err(RecordsError::DecodeInline(_))));
    assert!(matches!(read(&image(Some(&json!({})))), Err(RecordsError::ParseInline(_))));
    assert!(matches!(read(&json!([1])), Err(RecordsError::ParseImageConfig(_))));
    // A layer that the image does not have.
    let cache = json!([{"digest": digest("run"), "layers": at(2)}]);
    assert!(matches!(read(&image(Some(&cache))), Err(RecordsError::UnknownLayer { layer: 2 })));
    // The same empty layer twice, as the graph driver has it, and a history that is too short.
    let cache = json!([{"digest": digest("run"), "layers": at(1)}]);
    let mut twice = image(Some(&cache));
    twice["rootfs"]["diff_ids"][1] = json!(digest("a"));
    twice["history"] = json!([]);
    assert_eq!(results(&read(&twice).unwrap().unwrap()), [[digest("a"), digest("a")]]);
}

#[test]
fn a_ledger_s_records_are_checked_as_well() {
    let x = digest("x");
    let layer = json!({"blob": x, "mediaType": "layer", "size": 1});
    let root = json!({"digest": x, "results": [[0, null]]});
    let stored = |layers: Value, chains: Value, records: Value| {
        serde_json::from_value::<Records>(json!({"layers": layers, "chains": chains, "records": records}))
    };
    let good = stored(json!([layer]), json!([[0, -1]]), json!([root])).unwrap();
    assert_eq!(good.count(), 1);
    assert_eq!(serde_json::to_string(&Records::default()).unwrap(), r#"{"layers":[],"chains":[],"records":[]}"#);
    let mut dirty = layer.clone();
    dirty["mediaType"] = json!("a\nb");
    for (layers, chains, records, error) in [
        (json!([layer, layer]), json!([]), json!([]), "it is there twice"),
        (json!([dirty]), json!([]), json!([]), "its description is not valid"),
        (json!([layer]), json!([[1, -1]]), json!([]), "index 1 does not exist"),
        (json!([layer]), json!([[0, 0]]), json!([]), "index 0 does not exist"),
        (json!([layer]), json!([[0, -2]]), json!([]), "index -2 does not exist"),
        (json!([layer]), json!([]), json!([root]), "index 0 does not exist"),
        (json!([]), json!([]), json!([{"digest": x, "inputs": [[["", 0]]]}]), "its input refers to record 0"),
        (json!([]), json!([]), json!([{"digest": x, "inputs": [[]]}]), "one of its inputs is empty"),
        (json!([]), json!([]), json!([{"digest": x, "more": 1}]), "unknown field"),
        (
            json!([layer]),
            json!([[0, -1]]),
            json!([{"digest": x, "results": [[0, "-12026-11-01T10:00:00Z"]]}]),
            "its result has no valid time",
        ),
        (json!([]), json!([]), json!([{"digest": "random:x"}]), "not 'sha256:' and 64"),
        (
            json!([layer]),
            (-1..600).map(|parent| json!([0, parent])).collect(),
            json!([]),
            "more than 512 layers above each other",
        ),
    ] {
        let text = stored(layers, chains, records).unwrap_err().to_string();
        assert!(text.contains(error), "{text}");
    }
}

/// Documents of every kind.
fn documents() -> Vec<Vec<u8>> {
    let specs = [
        key("alpine", &[]),
        built("run", &[&[("", 0)]], "a", 1),
        key("sources", &[]),
        built("copy", &[&[("", 1)], &[("/x", 2), ("", 0)]], "ab", 2),
    ];
    let (manifest, config) = export(&specs);
    let stored = serde_json::to_vec(&super::records(&specs)).unwrap();
    let parsed: Value = serde_json::from_slice(&config).unwrap();
    let image = image(Some(&parsed["records"])).to_string().into_bytes();
    vec![manifest, config, stored, image]
}

/// A change of a document: what to put in place of how many bytes, and where.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let token =
        prop::sample::select(vec!["0", "1", "3", "-1", "99999999999", "[", "]", "{}", "[]", "null", "\"", ",", "1e9"]);
    let text = prop_oneof![token.prop_map(|token| token.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 0..3)];
    (any::<prop::sample::Index>(), 0..4_usize, text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_break_anything(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        probe(&bytes);
    }

    #[test]
    fn no_broken_document_breaks_anything(
        which in 0..4_usize, mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        let mut document = documents().swap_remove(which);
        for (place, length, text) in mutations {
            let start = place.index(document.len() + 1);
            let end = document.len().min(start + length);
            document.splice(start..end, text);
        }
        probe(&document);
    }
}

/// Time that this thread has had on a processor (`/proc/thread-self/schedstat`): other tests run beside it.
fn on_processor() -> std::time::Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    std::time::Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn a_mebibyte_of_anything_is_fast() {
    let records = |record: &str| {
        let list = vec![record; (1 << 20) / (record.len() + 1)].join(",");
        format!("{{\"layers\":[{{\"blob\":\"{}\",\"parent\":-1}}],\"records\":[{list}]}}", digest("a"))
    };
    let x = digest("x");
    let root = json!({"digest": x, "layers": at(0)}).to_string();
    let rest = json!({"digest": x, "layers": at(0), "inputs": [[{"link": 0}], [{"link": 0}]]}).to_string();
    let wide = (0..5_000).map(|index| {
        let links = [index / 2, index / 3, index / 5].map(|link| json!({"link": link}));
        let inputs = if index == 0 { json!([]) } else { json!([links, [links[0]]]) };
        json!({"digest": digest(index % 3), "layers": at(0), "inputs": inputs}).to_string()
    });
    let wide = wide.collect::<Vec<_>>().join(",");
    let wide = format!("{{\"layers\":[{{\"blob\":\"{}\",\"parent\":-1}}],\"records\":[{wide}]}}", digest("a"));
    for document in [
        "[".repeat(1 << 20),
        "{\"records\":[".repeat(80_000),
        records(&root),
        records("{}"),
        records(&rest).replacen(&rest, &root, 1),
        wide,
    ] {
        let begin = on_processor();
        probe(document.as_bytes());
        let took = on_processor() - begin;
        println!("{took:?} for {} bytes", document.len());
        assert!(took.as_secs() < 20, "{took:?}");
    }
}

#[test]
fn every_error_says_what_to_do() {
    let error = read(&json!({"records": [{"digest": ""}]})).unwrap_err();
    assert_eq!(error.help(), "Run `mode: clear` for this image once: its next build writes new cache records.");
}
