//! One way in for fuzzing and for property tests: any bytes, through everything.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken promise must end a fuzzing run")]

use super::wire::{Config, Descriptor, Manifest};
use super::{Digest, Importer, Layer, Offer, Records};

/// Reads any bytes as every kind of document, and puts what is valid through every operation.
///
/// # Panics
///
/// When an operation breaks a promise. No input may.
pub fn probe(bytes: &[u8]) {
    let _ = Records::from_export(bytes, bytes);
    let found = [
        Records::from_image_config(bytes).ok().flatten(),
        serde_json::from_slice(bytes).ok(),
        config(bytes),
        manifest(bytes),
    ];
    for records in found.into_iter().flatten() {
        exercise(&records);
    }
}

/// As a cache config whose manifest describes most of its blobs.
fn config(bytes: &[u8]) -> Option<Records> {
    let config: Config<'_> = serde_json::from_slice(bytes).ok()?;
    let described = config.layers.0.iter().enumerate().filter(|(index, _)| index % 8 != 7);
    let layers = described.map(|(_, layer)| Layer {
        blob: layer.blob,
        diff_id: layer.blob,
        media_type: "layer".to_owned(),
        size: 1,
        created_at: None,
        description: None,
    });
    let layers = layers.collect();
    Records::check(layers, &config).ok()
}

/// As a manifest with no record.
fn manifest(bytes: &[u8]) -> Option<Records> {
    let (_, layers) = serde_json::from_slice::<Manifest>(bytes).ok()?.split()?;
    Records::check(layers.into_iter().filter_map(Descriptor::layer).collect(), &Config::default()).ok()
}

fn exercise(records: &Records) {
    let stored = serde_json::to_vec(records).expect("records are JSON");
    let read: Records = serde_json::from_slice(&stored).expect("what was stored can be read");
    assert_eq!(read, *records, "what was stored is what is read");

    let merged = Records::merge([records.clone()]);
    assert_eq!(Records::merge([merged.clone(), merged.clone()]), merged, "a set merged with itself stays as it is");

    let mut turn = false;
    let half = records.clone().keep(|result| {
        turn = !turn;
        turn && !result.layers().is_empty()
    });
    let _ = Offer::new(&[half.clone(), records.clone()], Importer::MistakesTwins, None);
    for nonce in [None, Some(1)] {
        let Some(offer) = Offer::new(&[half.clone(), records.clone()], Importer::Careful, nonce) else { return };
        let [(digest, manifest), (_, config)] = offer.blobs.as_slice() else { panic!("an offer is two blobs") };
        assert_eq!(*digest, Digest::of(manifest).to_string());
        let offered = Records::from_export(manifest, config);
        // What stands upon everything may name more than we would read; BuildKit has no such limit.
        if nonce.is_none() {
            assert_eq!(offered.expect("what is offered can be imported").count(), offer.records);
        }
    }
}
