//! A push, told in the words of the builder's progress, whoever pushes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Pusher;
use crate::buildkit::trace::Event;
use crate::engine::PushEvent;
use crate::outcome::push::NotPushed;

/// One vertex for each tag.
pub(super) struct Told<'a> {
    pusher: &'a Pusher<'a>,
    name: String,
    begun: Duration,
    /// What each layer was last said to be.
    layers: BTreeMap<String, String>,
}

impl<'a> Told<'a> {
    pub(super) fn begin(pusher: &'a Pusher<'a>) -> Self {
        let name = format!("pushing {}", pusher.tag);
        let told = Self { pusher, name, begun: pusher.with.started.elapsed(), layers: BTreeMap::new() };
        pusher.tell(Event::Started { number: told.number(), name: told.name.clone(), executes: false });
        told
    }

    /// Tags are counted from 1, as the builder counts.
    fn number(&self) -> u32 {
        self.pusher.number.saturating_add(1)
    }

    /// What the engine tells.
    pub(super) fn event(&mut self, event: PushEvent) {
        let number = self.number();
        match event {
            PushEvent::Status { layer: Some(layer), status } => {
                let line = format!("{layer}: {status}");
                if self.layers.insert(layer, status.clone()).as_ref() != Some(&status) {
                    self.pusher.tell(Event::Log { number, line });
                }
            }
            PushEvent::Status { layer: None, status } => self.pusher.tell(Event::Log { number, line: status }),
            PushEvent::Sent { layer, current, total } => {
                let completed = total > 0 && current >= total;
                self.pusher.tell(Event::Progress { number, id: layer, current, total, completed });
            }
        }
    }

    /// What the builder tells: the parts of an export that are the push. The rest was told when the image was built.
    pub(super) fn solving(&self, event: Event) {
        if let Event::Progress { id, current, total, completed, .. } = event
            && id.starts_with("pushing ")
        {
            self.pusher.tell(Event::Progress { number: self.number(), id, current, total, completed });
        }
    }

    pub(super) fn end(self, why: Option<&NotPushed>) {
        let duration = self.pusher.with.started.elapsed().saturating_sub(self.begun);
        let error = why.map(|why| match why {
            NotPushed::Failed(problem) => problem.message.clone(),
            NotPushed::NotTried { because } => format!("not tried after {because}"),
            NotPushed::Cancelled => "cancelled".to_owned(),
        });
        self.pusher.tell(Event::Finished {
            number: self.number(),
            name: self.name.clone(),
            cached: false,
            duration,
            error,
        });
    }
}
