//! Counts of a clear: what there was in each place, by what became of it.

use std::collections::{BTreeMap, BTreeSet};

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
    counts: BTreeMap<Place, u64>,
    /// Builders as a whole, where it is not about so many records.
    builders: u64,
    /// The bytes of all of them, in the figures of whoever keeps them. Images share layers: it may be more than what is on
    /// disk.
    pub(super) bytes: u64,
}

/// What is counted in one word, in the order in which it is told.
const WORDS: [(&[Place], &str); 8] = [
    (&[Place::Images], "image"),
    (&[Place::Stages], "stage image"),
    (&[Place::Ledgers], "ledger"),
    (&[Place::Builder, Place::Builders], "builder record"),
    (&[Place::Volumes], "builder volume"),
    (&[Place::Registry], "registry tag"),
    (&[Place::Packages], "package version"),
    (&[Place::ActionsCache], "Actions cache"),
];

impl Share {
    fn of<'a>(items: impl Iterator<Item = &'a ItemOutcome>) -> Self {
        let mut seen = BTreeSet::new();
        items.fold(Self::default(), |mut share, item| {
            let counted = match item.place {
                // Several names of one image are one image, and its bytes are there once.
                Place::Images | Place::Stages | Place::Ledgers => {
                    seen.insert((item.place, item.id.as_deref().unwrap_or(&item.name)))
                }
                Place::Builder
                | Place::Builders
                | Place::Volumes
                | Place::Registry
                | Place::Packages
                | Place::ActionsCache => true,
            };
            if item.place == Place::Builders && item.count == 0 {
                share.builders = share.builders.saturating_add(1);
            } else if counted {
                let count = share.counts.entry(item.place).or_default();
                *count = count.saturating_add(item.count);
                share.bytes = share.bytes.saturating_add(item.bytes);
            }
            share
        })
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.builders == 0 && self.counts.values().all(|count| *count == 0)
    }

    /// How many there are in these places together.
    pub(super) fn count(&self, places: &[Place]) -> u64 {
        places.iter().filter_map(|place| self.counts.get(place)).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The images as the engine counts them: also those that the image cache made.
    pub(super) fn all_images(&self) -> u64 {
        self.count(&[Place::Images, Place::Stages, Place::Ledgers])
    }

    /// Records of the engine's builder and of the others.
    pub(super) fn records(&self) -> u64 {
        self.count(&[Place::Builder, Place::Builders])
    }

    /// `3 images, 1 ledger and 48 builder records`, or nothing.
    pub(super) fn words(&self) -> Option<String> {
        let counts =
            WORDS.map(|(places, noun)| (self.count(places), noun)).into_iter().chain([(self.builders, "builder")]);
        let counts = counts.map(|(count, noun)| (usize::try_from(count).unwrap_or(usize::MAX), noun));
        let mut words: Vec<String> =
            counts.filter(|(count, _)| *count > 0).map(|(count, noun)| units::count(count, noun)).collect();
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
        let share = Share::of(items.iter());
        assert_eq!((share.all_images(), share.bytes), (1, 10));
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

    #[test]
    fn every_place_has_its_word() {
        let tally = ClearTally::of(&fixtures::cleared_everywhere());
        assert_eq!(
            tally.removed.words().unwrap_or_default(),
            "2 images, 1 stage image, 73 builder records, 3 builder volumes, 2 registry tags, 14 package versions and 30 \
             Actions caches"
        );
        assert_eq!((tally.removed.all_images(), tally.removed.records()), (3, 73));
        assert_eq!(tally.kept.words().unwrap_or_default(), "1 image and 1 builder");
        assert_eq!(tally.failed.words().unwrap_or_default(), "1 registry tag");
    }
}
