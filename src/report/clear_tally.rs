//! Counts of a clear: images and builder records by what became of them.

use std::collections::BTreeSet;

use crate::outcome::clear::{ClearOutcome, Fate, ItemOutcome, Place};
use crate::report::units;

/// What a clear removed, would remove, kept and failed to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClearTally {
    /// Gone.
    pub(super) removed: Share,
    /// Would go, were it not a dry run.
    pub(super) would_remove: Share,
    /// Stays on purpose.
    pub(super) kept: Share,
    /// Should have gone, and could not.
    pub(super) failed: Share,
}

impl ClearTally {
    /// Counts an outcome.
    pub(super) fn of(outcome: &ClearOutcome) -> Self {
        let share = |accept: fn(&Fate) -> bool| Share::of(outcome.items.iter().filter(|item| accept(&item.fate)));
        Self {
            removed: share(|fate| matches!(fate, Fate::Removed)),
            would_remove: share(|fate| matches!(fate, Fate::WouldRemove)),
            kept: share(|fate| matches!(fate, Fate::Kept { .. })),
            failed: share(|fate| matches!(fate, Fate::Failed { .. })),
        }
    }
}

/// Items that met the same fate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Images, but for those of the image cache; several names of one image are one.
    pub(super) images: usize,
    /// Stage images of the image cache.
    pub(super) stages: usize,
    /// Ledgers of the image cache.
    pub(super) ledgers: usize,
    /// Records of the builder.
    pub(super) records: u64,
    /// The bytes of all of them, in the engine's figures. Images share layers: it may be more than what is on disk.
    pub(super) bytes: u64,
}

impl Share {
    fn of<'a>(items: impl Iterator<Item = &'a ItemOutcome>) -> Self {
        let mut seen = BTreeSet::new();
        items.fold(Self::default(), |mut share, item| {
            let counted = match item.place {
                Place::Images | Place::Stages | Place::Ledgers => {
                    seen.insert((item.place, item.id.as_deref().unwrap_or(&item.name)))
                }
                Place::Builder => true,
            };
            if counted {
                match item.place {
                    Place::Images => share.images += 1,
                    Place::Stages => share.stages += 1,
                    Place::Ledgers => share.ledgers += 1,
                    Place::Builder => share.records = share.records.saturating_add(item.count),
                }
                share.bytes = share.bytes.saturating_add(item.bytes);
            }
            share
        })
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.all_images() == 0 && self.records == 0
    }

    /// The images as the engine counts them: also those that the image cache made.
    pub(super) fn all_images(&self) -> usize {
        self.images.saturating_add(self.stages).saturating_add(self.ledgers)
    }

    /// `3 images, 1 ledger and 48 builder records`, or nothing.
    pub(super) fn words(&self) -> Option<String> {
        let records = usize::try_from(self.records).unwrap_or(usize::MAX);
        let counts = [
            (self.images, "image"),
            (self.stages, "stage image"),
            (self.ledgers, "ledger"),
            (records, "builder record"),
        ];
        let mut words: Vec<String> =
            counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, noun)| units::count(count, noun)).collect();
        let last = words.pop()?;
        Some(if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) })
    }
}

#[cfg(test)]
mod tests {
    use super::{ClearTally, Share};
    use crate::outcome::clear::{Fate, ItemOutcome, Place};
    use crate::report::fixtures;

    #[test]
    fn two_names_of_one_image_are_one_image() {
        let name = |name: &str| ItemOutcome {
            place: Place::Images,
            name: name.to_owned(),
            of: None,
            id: Some("sha256:1".to_owned()),
            bytes: 10,
            count: 1,
            fate: Fate::Removed,
        };
        let items = [name("app:1"), name("app:2")];
        assert_eq!(Share::of(items.iter()), Share { images: 1, bytes: 10, ..Share::default() });
    }

    #[test]
    fn fates_are_kept_apart() {
        let tally = ClearTally::of(&fixtures::cleared_in_part());
        let words = [&tally.removed, &tally.would_remove, &tally.kept, &tally.failed].map(Share::words);
        assert_eq!(
            words.map(Option::unwrap_or_default),
            ["2 images and 46 builder records", "", "1 image", "1 stage image and 2 builder records"]
        );
    }
}
