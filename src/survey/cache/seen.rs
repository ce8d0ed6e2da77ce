//! Images of an engine as they are when they are looked for first: each is asked for once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::engine::{Engine, ImageDetails};

/// An image, if there is one and the engine tells of it; nobody is told until that is known.
type Slot = Arc<OnceCell<Option<Arc<ImageDetails>>>>;

/// What was seen of an engine's images. To be made anew for every look at the engine: an image may go away.
#[derive(Debug)]
pub struct Seen<'a> {
    engine: &'a Engine,
    /// By what they were asked for.
    slots: Mutex<BTreeMap<String, Slot>>,
}

impl<'a> Seen<'a> {
    /// Nothing yet.
    pub fn new(engine: &'a Engine) -> Self {
        Self { engine, slots: Mutex::default() }
    }

    /// An image by its name or id; `None` if the engine has none or does not tell.
    pub(super) async fn image(&self, name: &str) -> Option<Arc<ImageDetails>> {
        let slot =
            Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default());
        let look = async || self.engine.inspect_image(name).await.ok().flatten().map(Arc::new);
        slot.get_or_init(look).await.clone()
    }

    /// An image by its id, which may have been seen under a name.
    pub(super) async fn image_with_id(&self, id: &str) -> Option<Arc<ImageDetails>> {
        match self.seen(id) {
            Some(image) => Some(image),
            None => self.image(id).await,
        }
    }

    fn seen(&self, id: &str) -> Option<Arc<ImageDetails>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(|slot| slot.get()?.as_ref()).find(|image| image.id == id).cloned()
    }
}
