//! What exists now, as far as a clear has to know it: images, who uses them, and the builder's records.

pub mod builders;
pub mod registry;

use crate::buildkit::usage::Record;
use crate::engine::{Container, Engine, EngineError, Image, ImageStore, OwnContainer};

/// What a clear finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearSurvey {
    /// The images of the engine, with the tombstones of earlier clears among them.
    pub images: Vec<Image>,
    /// Bytes of the image store, each layer once ([`crate::engine::ImageUsage::layers_size`]).
    pub layers_size: u64,
    /// Where the engine keeps its images: it decides how its figures add up.
    pub store: ImageStore,
    /// Containers, running or stopped.
    pub containers: Vec<Container>,
    /// The container that this program runs in.
    pub own: Option<OwnContainer>,
    /// The builder's records, whichever project they are of.
    pub builder: Vec<Record>,
}

impl ClearSurvey {
    /// Asks the engine. `own` and `builder` come from the caller: the former does not change, and the latter is asked for
    /// over another protocol.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn take(engine: &Engine, own: Option<OwnContainer>, builder: Vec<Record>) -> Result<Self, EngineError> {
        let (usage, containers) = tokio::try_join!(engine.image_usage(), engine.containers())?;
        Ok(Self {
            images: usage.images,
            layers_size: usage.layers_size,
            store: engine.info().store.clone(),
            containers,
            own,
            builder,
        })
    }

    /// Bytes that were freed between an earlier survey and this one, in the engine's own figures.
    ///
    /// No engine adds its figures up itself, and a plain sum counts a layer twice that an image and the builder share.
    /// **Measured**, with the size of the data root beside it:
    /// - A graph driver's `LayersSize` counts the layers that images hold. The builder's own are its records that are not
    ///   shared; a shared one becomes unshared, and stays, when its image goes. Together they are exact.
    /// - The containerd store's `LayersSize` counts all unpacked layers, the builder's too, but compressed ones only as
    ///   far as images hold them. It is exact when the builder is cleared as well. A record that stays and is not shared
    ///   any more may still hold what `LayersSize` dropped: its whole size is subtracted, which makes it a lower bound.
    pub fn freed_since(&self, before: &Self) -> u64 {
        let unshared = |survey: &Self| -> u64 {
            survey.builder.iter().filter(|record| !record.shared).map(|record| record.size).sum()
        };
        let (had, has) = match self.store {
            ImageStore::GraphDriver(_) => {
                (before.layers_size.saturating_add(unshared(before)), self.layers_size.saturating_add(unshared(self)))
            }
            ImageStore::Containerd => {
                let was_shared = |id: &str| before.builder.iter().any(|record| record.id == id && record.shared);
                let still_held: u64 = self
                    .builder
                    .iter()
                    .filter(|record| !record.shared && was_shared(&record.id))
                    .map(|record| record.size)
                    .sum();
                (before.layers_size, self.layers_size.saturating_add(still_held))
            }
        };
        had.saturating_sub(has)
    }
}

#[cfg(test)]
mod tests {
    use super::ClearSurvey;
    use crate::buildkit::usage::Record;
    use crate::engine::ImageStore;

    fn survey(store: &ImageStore, layers_size: u64, records: &[(&str, u64, bool)]) -> ClearSurvey {
        let builder = records.iter().map(|(id, size, shared)| Record {
            id: (*id).to_owned(),
            kind: "regular".into(),
            description: String::new(),
            size: *size,
            in_use: false,
            shared: *shared,
        });
        ClearSurvey {
            images: vec![],
            layers_size,
            store: store.clone(),
            containers: vec![],
            own: None,
            builder: builder.collect(),
        }
    }

    /// The figures of one build, removal and prune on each store; the data root shrank by 25.08 MB and 55.13 MB in all.
    #[test]
    fn adds_the_engines_figures_up() {
        let graph = ImageStore::GraphDriver("overlay2".into());
        let built = survey(
            &graph,
            16_986_657,
            &[("copy", 10_000_000, true), ("run", 5_000_000, true), ("local", 10_000_068, false)],
        );
        let removed = survey(
            &graph,
            1_986_657,
            &[("copy", 10_000_000, false), ("run", 5_000_000, false), ("local", 10_000_068, false)],
        );
        let pruned = survey(&graph, 1_986_657, &[]);
        assert_eq!(removed.freed_since(&built), 0, "the builder still holds the layers");
        assert_eq!(pruned.freed_since(&removed), 25_000_068);
        assert_eq!(pruned.freed_since(&built), 25_000_068);

        let store = ImageStore::Containerd;
        let built = survey(
            &store,
            58_223_141,
            &[("copy", 20_009_233, true), ("run", 10_011_176, true), ("base", 1_084_552, true)],
        );
        let removed = survey(
            &store,
            28_202_525,
            &[("copy", 20_009_233, false), ("run", 10_011_176, false), ("base", 1_084_552, true)],
        );
        let pruned = survey(&store, 3_167_773, &[]);
        assert_eq!(removed.freed_since(&built), 207, "a lower bound");
        assert_eq!(pruned.freed_since(&built), 55_055_368);
        assert_eq!(built.freed_since(&pruned), 0, "never negative");
    }
}
