//! Loads into the engine what a remote builder makes, while it sends it.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::TryStreamExt;

use crate::buildkit::session::filesend::SentFiles;
use crate::engine::{Engine, EngineError};
use crate::error::chain;
use crate::outcome::build::Failure;

/// The id of a loaded image, or why it was not loaded; nothing if the builder sent none.
pub(super) type Loaded = Option<Result<String, EngineError>>;

/// Does a build, and loads meanwhile what arrives by it. The builder is done only after the engine has it.
pub(super) async fn while_loading<T>(
    building: impl Future<Output = T>,
    files: Option<SentFiles>,
    engine: &Engine,
) -> (T, Loaded) {
    let Some(mut files) = files else { return (building.await, None) };
    let loaded = OnceLock::new();
    let loading = async {
        while let Some(file) = files.next().await {
            let (archive, arrival) = file.into_parts();
            let cut_short = Arc::new(AtomicBool::new(false));
            let noted = Arc::clone(&cut_short);
            let archive = archive.inspect_err(move |_| noted.store(true, Ordering::Relaxed));
            let result = engine.load_image(archive).await;
            let told = result.as_ref().map(drop).map_err(|error| chain(error));
            // That an image did not arrive is no fault of the engine: the build's own end says why. Other than that it is
            // known here before the builder knows, and ends the build.
            let first = cut_short.load(Ordering::Relaxed) || loaded.set(result).is_ok();
            arrival.tell(if first { told } else { Err("an image was sent before".to_owned()) });
        }
        std::future::pending::<Infallible>().await
    };
    let built = tokio::select! {
        built = building => built,
        never = loading => match never {},
    };
    (built, loaded.into_inner())
}

/// What is said of a build whose image did not get into the engine.
pub(super) fn failure(error: &EngineError) -> Failure {
    Failure {
        message: chain(error),
        step: None,
        exit_code: None,
        log_tail: Vec::new(),
        location: None,
        help: Some("the builder has built it; look at the engine of this machine, its log and its disk".to_owned()),
    }
}
