//! The blobs that BuildKit gets.

use super::super::{Importer, Offer, Records};
use super::{Spec, built, key, offered, records, second};

#[test]
fn an_offer_is_an_image_index_and_its_config() {
    let source = records(&[
        key("alpine", &[]),
        built("run", &[&[("", 0)]], "a", 1),
        built("copy", &[&[("", 1)], &[("/x", 0)]], "ab", 2),
    ]);
    let offer = Offer::new(&[source], Importer::Careful, None).unwrap();
    assert_eq!((offer.records, offer.results, offer.left_out), (3, 2, 0));
    let [(digest, manifest), (config_digest, config)] = offer.blobs.as_slice() else { panic!("not two blobs") };
    assert_eq!(*digest, offer.digest);
    let text = |blob: &[u8]| String::from_utf8(blob.to_vec()).unwrap();
    let [a, b, alpine, run, copy] = ["a", "b", "alpine", "run", "copy"].map(super::digest);
    let [plain_a, plain_b] = ["a uncompressed", "b uncompressed"].map(super::digest);
    let (one, two) = (second(1), second(2));
    assert_eq!(
        text(config),
        format!(
            r#"{{"layers":[{{"blob":"{a}","parent":-1}},{{"blob":"{b}","parent":0}}],"records":[{{"digest":"{alpine}"}},"#
        ) + &format!(r#"{{"digest":"{run}","layers":[{{"layer":0,"createdAt":"{one}"}}],"inputs":[[{{"link":0}}]]}},"#)
            + &format!(r#"{{"digest":"{copy}","layers":[{{"layer":1,"createdAt":"{two}"}}],"#)
            + r#""inputs":[[{"link":1}],[{"selector":"/x","link":0}]]}]}"#
    );
    let layer = |blob, diff_id, name| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{blob}","size":32,"annotations":"#
        ) + &format!(r#"{{"buildkit/createdat":"2026-11-01T10:00:00.123456789Z","buildkit/description":"RUN {name}","#)
            + &format!(r#""containerd.io/uncompressed":"{diff_id}"}}}},"#)
    };
    let length = config.len();
    assert_eq!(
        text(manifest),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":["#.to_owned()
            + &layer(a, plain_a, "a")
            + &layer(b, plain_b, "b")
            + r#"{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":""#
            + &format!(r#"{config_digest}","size":{length}}}]}}"#)
    );
}

#[test]
fn nothing_is_offered_where_nothing_is_cached() {
    assert_eq!(Offer::new(&[], Importer::Careful, None), None);
    assert_eq!(Offer::new(&[Records::default(), records(&[key("alpine", &[])])], Importer::Careful, None), None);
}

#[test]
fn the_same_sources_give_the_same_bytes() {
    let sources = || {
        let specs = |base: &str| {
            let mut specs = vec![key(base, &[]), key("alpine", &[])];
            specs.extend((0..40).map(|index| {
                let name = (index % 9).to_string();
                built(&name, &[&[("", index / 2), ("/x", index / 3)]], ["a", "bc", "bd"][index % 3], 1)
            }));
            records(&specs)
        };
        vec![specs("one"), specs("two"), specs("three")]
    };
    assert_eq!(Offer::new(&sources(), Importer::Careful, None), Offer::new(&sources(), Importer::Careful, None));
}

/// Records, of which each has a result, that are too many for one offer if there are more than about 4,000 of them.
fn many(count: usize, base: &str) -> Records {
    let mut specs: Vec<Spec> = vec![key(base, &[])];
    for index in 1..=count {
        let at = u32::try_from(index % 3_000).unwrap();
        specs.push(built(&format!("{base} {index}"), &[&[("", 0)]], "ab", at));
    }
    records(&specs)
}

#[test]
fn what_is_too_large_loses_the_last_source_s_oldest_results() {
    let (first, last) = (many(3_000, "first"), many(3_000, "last"));
    let offer = Offer::new(&[first.clone(), last.clone()], Importer::Careful, None).unwrap();
    assert!(offer.blobs.iter().all(|(_, blob)| blob.len() <= 900 << 10));
    assert!(offer.blobs.iter().any(|(_, blob)| blob.len() > 899 << 10), "room is left");
    assert_eq!(offer.results + offer.left_out, 6_000);
    assert!(offer.left_out > 0);

    let (_, read) = offered(&[first.clone(), last]).unwrap();
    let times = |base: &str, records: &Records| {
        let mut times = Vec::new();
        for record in &records.records {
            let is = |index: usize| record.digest == super::digest(format!("{base} {index}"));
            if (1..=20).chain(2_980..=2_999).any(is) {
                times.extend(record.results.iter().filter_map(|outcome| outcome.created_at));
            }
        }
        times.len()
    };
    assert_eq!(times("first", &read), 40, "the first source is whole");
    assert_eq!(times("last", &read), 20, "of the last one the newest are left");

    let alone = Offer::new(&[many(6_000, "first")], Importer::Careful, None).unwrap();
    assert!(alone.left_out > 0 && alone.results > 3_000);
}

#[test]
fn with_a_nonce_every_record_has_a_stranger_of_its_own() {
    let source = records(&[
        key("alpine", &[]),
        key("busybox", &[]),
        // The same instruction on two bases must stay two.
        built("run", &[&[("", 0)]], "a", 1),
        built("run", &[&[("", 1)]], "b", 1),
        built("make", &[&[("", 2)]], "ac", 2),
    ]);
    let config = |nonce: u128| -> serde_json::Value {
        let offer = Offer::new(std::slice::from_ref(&source), Importer::Careful, Some(nonce)).unwrap();
        serde_json::from_slice(&offer.blobs[1].1).unwrap()
    };
    let (one, two) = (config(1), config(2));
    let added = |config: &serde_json::Value| -> Vec<String> {
        let list = config["records"].as_array().unwrap();
        list[5..7].iter().map(|record| record["digest"].as_str().unwrap().to_owned()).collect()
    };
    let mut all = [added(&one), added(&two)].concat();
    assert_eq!(all.len(), 4);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4, "each is new");
    let links: Vec<usize> = one["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|record| Some(record["inputs"][0].as_array()?.len()))
        .collect();
    assert_eq!(
        links,
        [2, 2, 1, 2],
        "those upon a base have one more alternative, the others none; and there is a keystone"
    );
    // Read back, they are what they were: strangers lead to no result.
    let offer = Offer::new(std::slice::from_ref(&source), Importer::Careful, Some(3)).unwrap();
    let read = Records::from_export(&offer.blobs[0].1, &offer.blobs[1].1).unwrap();
    assert_eq!(read.count_with_results(), source.count_with_results());
}

#[test]
fn all_that_is_offered_is_below_one_record() {
    let source = records(&[
        key("alpine", &[]),
        built("run", &[&[("", 0)]], "a", 1),
        built("make", &[&[("", 1)]], "ab", 2),
        built("copy", &[&[("", 0)], &[("/x", 1)]], "c", 2),
    ]);
    let offered = |source: &Records, importer| -> Vec<serde_json::Value> {
        let offer = Offer::new(std::slice::from_ref(source), importer, Some(1)).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&offer.blobs[1].1).unwrap();
        config["records"].as_array().unwrap().clone()
    };
    let all = offered(&source, Importer::Careful);
    let keystone = all.last().unwrap();
    assert_eq!(keystone["inputs"], serde_json::json!([[{"link": 2}, {"link": 3}]]));
    assert_eq!(keystone.get("layers"), None);
    // BuildKit 0.8 takes them in one by one.
    assert_eq!(offered(&source, Importer::MistakesTwins).len() + 1, all.len());
    // One leaf needs none.
    let line = records(&[key("alpine", &[]), built("run", &[&[("", 0)]], "a", 1)]);
    assert_eq!(offered(&line, Importer::Careful).len(), offered(&line, Importer::MistakesTwins).len());
}
