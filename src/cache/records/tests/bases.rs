//! Base images that are known by several keys.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::bases::BaseImage;
use super::super::{Digest, Records};
use super::model::{same_meaning_under, source};
use super::{built, digest, key, records};

fn base(platform: &str, manifests: &[&str], layers: &[&str]) -> BaseImage {
    let layers: Vec<Digest> = layers.iter().map(digest).collect();
    BaseImage::new(manifests.iter().map(digest), platform, &layers).unwrap()
}

/// What an engine wrote (Docker 28.5.2, containerd image store): an image's id and layer, and the two records that its
/// first step stood upon.
#[test]
fn keys_are_those_that_buildkit_writes() {
    let read = |text: &str| text.parse::<Digest>().unwrap();
    let manifest = read("sha256:da8c11a44a04dceda08d9c56107ddefe654f5a641d6d5064aa247a069343c0fe");
    let layer = read("sha256:c057acac9749a5077003696dca223e65d2818521fde29407316317b68c6a7f5c");
    let keys = [
        read("sha256:79af267ab091817d219a96b7efb4b5415008de9b71124d7a64bb571287892699"),
        read("sha256:add38f981012a0ba571385a07c43a3f8bfd43db89cd9026c5a97c0cb282764bb"),
    ];
    assert_eq!(BaseImage::new([manifest], "linux/amd64", &[layer]).unwrap().keys, BTreeSet::from(keys));
}

#[test]
fn what_buildkit_knows_by_one_key_or_by_other_keys_is_left_alone() {
    assert_eq!(BaseImage::new([digest("m")], "linux/amd64", &[]), None);
    assert_eq!(BaseImage::new([digest("m")], "windows/amd64", &[digest("l")]), None);
    assert_eq!(base("linux/arm64", &["m"], &["l"]).keys.len(), 3);
    assert_eq!(base("linux/amd64", &[], &["a", "b"]).keys.len(), 1);
    // The order of layers, and each of them, counts.
    let chains = [&["a", "b"][..], &["b", "a"], &["a"], &["a", "b", "b"]];
    let keys: BTreeSet<_> = chains.iter().flat_map(|layers| base("linux/amd64", &[], layers).keys).collect();
    assert_eq!(keys.len(), 4);
}

#[test]
fn a_step_is_found_by_every_key_of_its_base_image() {
    let upon = |keys: &[&str]| BaseImage { keys: keys.iter().map(digest).collect() };
    let made = records(&[
        key("layers", &[]),
        key("sources", &[]),
        built("copy", &[&[("", 0)], &[("/x", 1)]], "ab", 1),
        built("from", &[&[("", 2)], &[("/bin", 0)]], "abc", 2),
    ]);
    let found = made.clone().with_bases(&[upon(&["layers", "new"])]);
    let expected = records(&[
        key("new", &[]),
        key("layers", &[]),
        key("sources", &[]),
        built("copy", &[&[("", 0), ("", 1)], &[("/x", 2)]], "ab", 1),
        built("from", &[&[("", 3)], &[("/bin", 0), ("/bin", 1)]], "abc", 2),
    ]);
    assert_eq!(Records::merge([found.clone()]), Records::merge([expected]));
    assert_eq!(found.clone().with_bases(&[upon(&["layers", "new"])]), found, "a second time nothing is new");
    // Nothing stands upon these, whatever they are called.
    assert_eq!(made.clone().with_bases(&[upon(&["else", "other"]), upon(&["copy", "new"])]), made);
    // Two names of the same files, and the newer build upon either counts for both.
    let newer = records(&[key("new", &[]), key("sources", &[]), built("copy", &[&[("", 0)], &[("/x", 1)]], "ad", 3)]);
    let bases = [upon(&["old", "layers"]), upon(&["layers", "new"])];
    let merged = Records::merge([made, newer].map(|records| records.with_bases(&bases)));
    assert_eq!(merged.records.iter().filter(|record| record.digest == digest("copy")).count(), 1, "{merged:?}");
    assert_eq!(merged.newest().unwrap().timestamp() % 60, 3);
}

proptest! {
    /// Operations 0 and 1 of the drawn records have no inputs: they are taken for two keys of one image.
    #[test]
    fn nothing_is_said_but_that_two_keys_are_one(sources in prop::collection::vec(source(true), 1..4)) {
        let bases = [BaseImage { keys: ["0", "1", "new"].iter().map(digest).collect() }];
        let known: Vec<Records> = sources.iter().cloned().map(|records| records.with_bases(&bases)).collect();
        prop_assume!(same_meaning_under(&bases[0].keys, &sources, &known).is_some());
        for records in known {
            prop_assert_eq!(records.clone().with_bases(&bases), records);
        }
    }
}
