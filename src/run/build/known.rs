//! After the builds: what is known of each besides what the builder told, and what follows from it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Prepared;
use crate::buildkit::mask::Masks;
use crate::cache::evidence::{self, Evidence};
use crate::cache::ledger::{Ledger, Role, Salt};
use crate::engine::ImageStore;
use crate::execute::build::{Built, Kept, has_any_since};
use crate::outcome::build::{ImageOutcome, ImageResult};
use crate::outcome::known::Known;
use crate::outcome::why;
use crate::plan::build::{How, PlannedBuild};
use crate::project::dockerfile::Dockerfile;
use crate::project::target::NamedContext;
use crate::run::Run;

/// So long it is still read what went into a build after the run was cancelled: a report without reasons is of no use, and
/// the runner does not wait for long.
const AFTER_CANCELLATION: Duration = Duration::from_millis(1500);

/// What is known of every build, in the order of the plan. It gives the outcomes reasons, sizes and history.
pub(super) async fn known<'a>(run: &'a Run, prepared: &'a Prepared, built: &mut [Built]) -> Vec<Known<'a>> {
    let begun = Instant::now();
    let something_ran = built.iter().any(|built| built.outcome.has_uncached_steps());
    let builds = prepared.plan.builds.iter().zip(built).enumerate();
    let each = builds.map(|(index, (build, built))| {
        let looking = Looking { run, prepared, index, build, something_ran };
        async move {
            let known = looking.known(built).await;
            looking.complete(&mut built.outcome, &known).await;
            known
        }
    });
    let known = join_all(each).await;
    tracing::debug!("what went into the builds: found out in {} ms", begun.elapsed().as_millis());
    known
}

struct Looking<'a> {
    run: &'a Run,
    prepared: &'a Prepared,
    index: usize,
    build: &'a PlannedBuild,
    /// Whether a step ran, for whichever image.
    something_ran: bool,
}

impl<'a> Looking<'a> {
    async fn known(&self, built: &Built) -> Known<'a> {
        let previous = self.prepared.previous.get(self.index).and_then(Option::as_ref);
        let ledger = previous.map(|previous| &previous.ledger);
        let salt = Salt::keep(ledger);
        let needed = match built.kept {
            Kept::Images { .. } => true,
            // The builder may have steps of which the ledger does not know: another run's, or another image's.
            Kept::Known => ledger.is_some_and(|ledger| self.something_ran || self.is_news(ledger, &built.outcome)),
            Kept::Nothing => built.outcome.has_uncached_steps() && ledger.is_some(),
        };
        let now = if needed { self.evidence(&salt, &built.outcome).await } else { None };
        Known {
            target: &self.build.target,
            dockerfile: self.dockerfile(),
            previous: ledger,
            present: previous.map(|previous| &previous.present),
            before: ledger.and_then(|ledger| serde_json::from_value(ledger.evidence.clone()).ok()),
            now,
            salt,
            remembered: self.build.keep.is_some(),
            merges: self.prepared.engine.info().store == ImageStore::Containerd,
        }
    }

    /// Whether the builder may have had steps of this image that were made after the ledger was written.
    fn is_news(&self, ledger: &Ledger, outcome: &ImageOutcome) -> bool {
        let records = self.prepared.builder_before.as_deref();
        let masks = self.prepared.masks.get(self.index);
        let is_one = |records| has_any_since(&outcome.steps, records, ledger.written_at, masks.unwrap_or(&Masks::NONE));
        records.is_none_or(is_one)
    }

    fn dockerfile(&self) -> Option<&'a Dockerfile> {
        self.prepared.project.dockerfiles.get(self.index).and_then(Option::as_ref)
    }

    /// Gives the outcome what follows from it: why steps ran, and what the engine and the ledger say of the image.
    async fn complete(&self, outcome: &mut ImageOutcome, known: &Known<'_>) {
        let reasons = match self.build.how {
            How::BuildKit { .. } => why::reasons(outcome, known),
            How::Classic => why::classic_reasons(outcome, known.target),
        };
        for (step, reason) in outcome.steps.iter_mut().zip(reasons) {
            step.reason = reason;
        }
        let last = known.previous.and_then(|ledger| ledger.history.last());
        outcome.size_before = last.and_then(|build| build.image_bytes);
        outcome.history = known.previous.map(|ledger| ledger.history.clone()).unwrap_or_default();
        let ImageResult::Built { image_id, .. } = &outcome.result else { return };
        let before = known.previous.and_then(|ledger| ledger.images.iter().find(|image| image.role == Role::Final));
        // The same image has the same size.
        outcome.size = match outcome.size_before.filter(|_| before.is_some_and(|image| image.id.as_str() == image_id)) {
            Some(size) => Some(size),
            None => self.prepared.engine.inspect_image(image_id).await.ok().flatten().map(|details| details.size),
        };
    }

    /// What went into the build; `None` if the run was cancelled, and it takes long.
    async fn evidence(&self, salt: &Salt, outcome: &ImageOutcome) -> Option<Evidence> {
        let salt = salt.as_str().parse::<evidence::Salt>().ok()?;
        let target = &self.build.target;
        let dockerfile = self.dockerfile();
        let evidence = Evidence::new(&salt, target, dockerfile.map(|parsed| (parsed, parsed.text())));
        // Reading ends with the future.
        let never = CancellationToken::new();
        let reading = async {
            let contexts = evidence::contexts(&salt, target, dockerfile, &never);
            tokio::join!(contexts, self.bases(dockerfile))
        };
        let too_late = async {
            self.run.cancellation.cancelled().await;
            tokio::time::sleep(AFTER_CANCELLATION).await;
        };
        let (contexts, bases) = tokio::select! {
            read = reading => read,
            () = too_late => return None,
        };
        let names = outcome.other.iter().map(|operation| operation.name.as_str());
        let pinned = dockerfile.map(|dockerfile| evidence::pinned(dockerfile, names)).unwrap_or_default();
        Some(Evidence { contexts: contexts?, bases, pinned, ..evidence })
    }

    /// The images that the build stands on, by the engine's ids.
    async fn bases(&self, dockerfile: Option<&Dockerfile>) -> BTreeMap<String, String> {
        let target = &self.build.target;
        let references = dockerfile
            .map(|dockerfile| evidence::bases(dockerfile, target.stage.as_deref(), &target.build_args))
            .unwrap_or_default();
        let looked_up = references.into_iter().map(|(written, expanded)| async move {
            let image = self.image(&expanded)?;
            let details = self.prepared.engine.inspect_image(&image).await.ok().flatten();
            details.map(|details| (written, details.id))
        });
        join_all(looked_up).await.into_iter().flatten().collect()
    }

    /// The image that a name in the Dockerfile stands for: a named context takes its place.
    fn image(&self, name: &str) -> Option<String> {
        match self.build.target.named_contexts.get(name) {
            None => Some(name.to_owned()),
            Some(NamedContext::Local(_)) => None,
            Some(NamedContext::Remote(address)) => address.strip_prefix("docker-image://").map(str::to_owned),
            Some(NamedContext::Target(other)) => {
                let builds = &self.prepared.plan.builds;
                let build = builds.iter().find(|build| build.target.name == *other)?;
                build.target.tags.first().map(ToString::to_string)
            }
        }
    }
}
