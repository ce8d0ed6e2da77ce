//! After a build: its tags go to their registries.

mod told;

use super::buildkit::{IMAGE_DIGEST, directories, services};
use super::cached::{Cached, NotSolved};
use super::{Execution, Progress};
use crate::buildkit::session::Session;
use crate::buildkit::session::filesync::FileSyncService;
use crate::buildkit::solve::SolveRequest;
use crate::buildkit::trace::Event;
use crate::engine::EngineError;
use crate::error::chain;
use crate::image::ImageReference;
use crate::outcome::build::Interval;
use crate::outcome::push::{ImagePush, Login, NotPushed, PushProblem, TagPush, help};
use crate::plan::build::push::{PushedBy, PushedTag};
use crate::plan::build::{BuildPlan, How, PlannedBuild};
use told::Told;

/// Pushes everything that the plan wants pushed, one tag after the other: each already sends several layers at a time, and
/// images that share layers find them there. A tag that fails does not stop those of other repositories; a cancelled run
/// does. Nothing is tried again: the engine does that for each layer, for up to a minute.
pub async fn push(plan: &BuildPlan, with: &Execution<'_>) -> Vec<ImagePush> {
    let mut images = Vec::new();
    for (index, build) in plan.builds.iter().enumerate() {
        let Some(push) = &build.push else { continue };
        let begun = with.started.elapsed();
        let mut tags: Vec<TagPush> = Vec::with_capacity(push.tags.len());
        for (number, planned) in push.tags.iter().enumerate() {
            let failed = |(earlier, pushed): (&PushedTag, &TagPush)| {
                let same = earlier.tag.repository() == planned.tag.repository();
                (same && matches!(pushed.result, Err(NotPushed::Failed(_)))).then(|| pushed.tag.clone())
            };
            let result = match push.tags.iter().zip(&tags).find_map(failed) {
                Some(because) => Err(NotPushed::NotTried { because }),
                None => {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    Pusher { index, number, tag: &planned.tag, build, with }.push(&planned.by).await
                }
            };
            tags.push(TagPush { tag: planned.tag.to_string(), result });
        }
        let interval = Interval { start: begun, end: with.started.elapsed() };
        images.push(ImagePush { image: build.target.name.clone(), interval, tags });
    }
    images
}

/// Pushes one tag.
struct Pusher<'a> {
    index: usize,
    /// The tag's number among those of its image.
    number: u32,
    tag: &'a ImageReference,
    build: &'a PlannedBuild,
    with: &'a Execution<'a>,
}

/// Why a push gave no digest.
enum Unpushed {
    /// A step is not in the cache any more.
    NotCached,
    Cancelled,
    Failed(String),
}

impl Pusher<'_> {
    async fn push(&self, by: &PushedBy) -> Result<String, NotPushed> {
        if self.with.cancelled.is_cancelled() {
            return Err(NotPushed::Cancelled);
        }
        let mut told = Told::begin(self);
        let pushed = match by {
            PushedBy::Engine => self.by_engine(&mut told).await,
            PushedBy::Solve(request) => match self.by_solve(request, &mut told).await {
                // The image is in the engine all the same.
                Err(Unpushed::NotCached) => self.by_engine(&mut told).await,
                pushed => pushed,
            },
        };
        let pushed = pushed.map_err(|why| self.explained(why));
        told.end(pushed.as_ref().err());
        pushed
    }

    fn explained(&self, why: Unpushed) -> NotPushed {
        let message = match why {
            // A cancelled push may be told by the engine before the token is looked at.
            _ if self.with.cancelled.is_cancelled() => return NotPushed::Cancelled,
            Unpushed::Cancelled => return NotPushed::Cancelled,
            Unpushed::NotCached => "its steps are not all in the cache any more".to_owned(),
            Unpushed::Failed(message) => message,
        };
        let message = self.with.masks(self.index).apply(&message).into_owned();
        let login = if self.with.credentials.find(self.tag.host()).is_some() { Login::Given } else { Login::None };
        let help = help(&message, self.tag, login);
        NotPushed::Failed(PushProblem { message, help })
    }

    async fn by_engine(&self, told: &mut Told<'_>) -> Result<String, Unpushed> {
        let login = self.with.credentials.find(self.tag.host());
        let push = self.with.engine.push_image(self.tag, login, |event| told.event(event));
        match self.with.cancelled.run_until_cancelled(push).await {
            Some(Ok(digest)) => Ok(digest),
            Some(Err(EngineError::Push { message, .. } | EngineError::Refused { message, .. })) => {
                Err(Unpushed::Failed(message))
            }
            Some(Err(error)) => Err(Unpushed::Failed(chain(&error))),
            None => Err(Unpushed::Cancelled),
        }
    }

    /// Solves it once more, for the push alone. A step that begins to run means that the cache is gone: what is pushed is what
    /// was built, and nothing else.
    async fn by_solve(&self, request: &SolveRequest, told: &mut Told<'_>) -> Result<String, Unpushed> {
        let (Some(connection), How::BuildKit { locals, shared_key, .. }) = (self.with.connection, &self.build.how)
        else {
            return Err(Unpushed::NotCached);
        };
        let failed = |error: &(dyn std::error::Error + 'static)| Unpushed::Failed(chain(error));
        let files = FileSyncService::new(directories(locals));
        let services = services(&self.build.target, files, self.with).map_err(|error| failed(&error))?;
        let opening = Session::open(connection, services, shared_key);
        let opened = self.with.cancelled.run_until_cancelled(opening).await;
        let session = opened.ok_or(Unpushed::Cancelled)?.map_err(|error| failed(&error))?;
        let solving = Cached { index: self.index, connection, session: &session, offered: None, with: self.with };
        match solving.solve(request.clone(), |event| told.solving(event)).await {
            Ok(answer) => answer
                .get(IMAGE_DIGEST)
                .cloned()
                .ok_or_else(|| Unpushed::Failed("the builder ended the push without a digest".to_owned())),
            Err(NotSolved::Cancelled) => Err(Unpushed::Cancelled),
            Err(NotSolved::NotCached | NotSolved::NotServed(_)) => Err(Unpushed::NotCached),
            Err(NotSolved::Failed(error)) => {
                let (message, known) = (chain(&error), format!("failed to push {}: ", self.tag.canonical()));
                Err(Unpushed::Failed(message.strip_prefix(&known).unwrap_or(&message).to_owned()))
            }
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listening is no reason to stop.
        let _ = self.with.progress.send(Progress { build: self.index, event, at: self.with.started.elapsed() });
    }
}
