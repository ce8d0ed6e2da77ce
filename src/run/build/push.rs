//! `push`: once every image is built, and only then.

use tokio::sync::mpsc;

use super::{Prepared, credentials, execution, print};
use crate::execute::build::push;
use crate::inputs::BuildInputs;
use crate::outcome::build::{BuildOutcome, ImageResult};
use crate::outcome::push::{Pushes, Withheld};
use crate::run::Run;

/// Pushes what was built, and notes it in the outcome.
pub(super) async fn pushed(run: &Run, inputs: &BuildInputs, prepared: &Prepared, outcome: &mut BuildOutcome) {
    if !inputs.push {
        return;
    }
    let built = |result: &ImageResult| matches!(result, ImageResult::Built { .. });
    if !outcome.images.iter().all(|image| built(&image.result)) {
        outcome.pushes = Pushes::Withheld(Withheld::NotBuilt);
        return;
    }
    if outcome.stale {
        outcome.pushes = Pushes::Withheld(Withheld::Stale);
        return;
    }
    let names: Vec<String> = prepared.plan.builds.iter().map(|build| build.target.name.clone()).collect();
    run.console.group(&format!("Push {}", names.join(", ")));
    let (sender, receiver) = mpsc::unbounded_channel();
    let printer = print(run, names, receiver);
    let credentials = credentials(inputs);
    let execution = execution(run, prepared, &credentials, sender);
    let images = push(&prepared.plan, &execution).await;
    // The printer ends when it has told everything.
    drop(execution);
    let _ = printer.await;
    run.console.end_group();
    for image in &mut outcome.images {
        let pushed = images.iter().find(|push| push.image == image.name);
        if let (ImageResult::Built { digest, .. }, Some(pushed)) = (&mut image.result, pushed) {
            *digest = pushed.digest().map(str::to_owned);
        }
    }
    outcome.pushes = Pushes::Tried(images);
}
