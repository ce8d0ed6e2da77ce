//! Answers that an engine gives while something changes under its hands: it is asked again for a while.

use std::time::Duration;

use super::{Engine, EngineError, ImageDetails};

/// So long an engine is asked again, and how often. On a slow disk an image takes seconds to go.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// What engines say of an image or a layer that goes away while they look, with status 500: the containerd store (moby
/// `daemon/containerd/image.go`), layers of a graph driver (`layer/layer.go`, `daemon/images/image_list.go`), and Docker
/// 20.10's image store (`image/store.go`).
const CHANGING: [&str; 4] = [
    "consistency error: data changed during operation",
    "layer does not exist",
    "was not found (corruption?)",
    "unrecognized image ID",
];

impl EngineError {
    /// Whether the engine knows no image of this name, in contrast to not finding what the name leads to.
    pub fn is_no_such_image(&self) -> bool {
        matches!(self, Self::Refused { status: 404, message, .. } if message.to_lowercase().contains("no such image"))
    }

    /// Whether to ask again is likely to give another answer: something changed while the engine looked.
    fn is_passing(&self) -> bool {
        self.is_interrupted() || (matches!(self, Self::Refused { status: 404, .. }) && !self.is_no_such_image())
    }

    /// Whether the engine itself says that something changed while it looked. In contrast to what is not found, which may
    /// never come back, that does not last.
    fn is_interrupted(&self) -> bool {
        matches!(self, Self::Refused { status: 500, message, .. } if CHANGING.iter().any(|words| message.contains(words)))
    }
}

/// The answer, once it is one that lasts.
pub(super) async fn settled<T>(ask: impl AsyncFn() -> Result<T, EngineError>) -> Result<T, EngineError> {
    ask_while(EngineError::is_passing, ask).await
}

/// The answer of an engine that was not interrupted.
pub(super) async fn uninterrupted<T>(ask: impl AsyncFn() -> Result<T, EngineError>) -> Result<T, EngineError> {
    ask_while(EngineError::is_interrupted, ask).await
}

async fn ask_while<T>(
    is_passing: fn(&EngineError) -> bool,
    ask: impl AsyncFn() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let begun = tokio::time::Instant::now();
    loop {
        match ask().await {
            Err(error) if is_passing(&error) && begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

impl Engine {
    /// [`Engine::inspect_image`] of an image that others may be about to remove.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn look_at_image(&self, image: &str) -> Result<Option<ImageDetails>, EngineError> {
        settled(async || self.inspect_image(image).await).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{EngineError, settled, uninterrupted};

    fn refused(status: u16, message: &str) -> EngineError {
        EngineError::Refused { action: "look".into(), status, message: message.into() }
    }

    #[tokio::test]
    async fn asks_again_where_something_changes_and_nowhere_else() {
        for (status, message, passing) in [
            (500, "consistency error: data changed during operation, retry", true),
            (500, "layer does not exist", true),
            (500, "layer sha256:1 was not found (corruption?)", true),
            (500, "unrecognized image ID sha256:1", true),
            (404, "failed to read config content: content digest sha256:1: not found", true),
            (404, "snapshot 7 does not exist: not found", true),
            (404, "No such image: app:latest", false),
            (404, "No such image: sha256:1", false),
            (409, "conflict: unable to remove", false),
            (500, "out of memory", false),
        ] {
            let asked = Cell::new(0);
            let ask = async || {
                asked.set(asked.get() + 1);
                if asked.get() < 4 { Err(refused(status, message)) } else { Ok(()) }
            };
            assert_eq!(settled(ask).await.is_ok(), passing, "{message}");
            assert_eq!(asked.get(), if passing { 4 } else { 1 }, "{message}");
            asked.set(0);
            assert_eq!(uninterrupted(ask).await.is_ok(), passing && status == 500, "{message}");
        }
    }
}
