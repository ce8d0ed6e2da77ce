//! Marks of names that builds which nobody vouches for have given to images.
//!
//! What is inside an image is as trustworthy as who made it, and ledgers do not tell for ever: a cancelled run writes none, and that
//! of a pull request which nobody builds any more is given up before its image may be. So a pull request's run leaves a tiny image for
//! each name before it builds: what has the name may be its image from then on.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::empty::EmptyImage;
use super::{Engine, EngineError};
use crate::image::{ImageReference, RESERVED_NAMESPACE};

/// The repository of all these marks; the tag tells the name.
const DISTRUST_REPOSITORY: &str = "watchparty-cache/untrusted";
const WRITE_ATTEMPTS: usize = 3;

/// The mark of a name.
fn name_for(reference: &ImageReference) -> String {
    let hash: String =
        Sha256::digest(reference.canonical()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{DISTRUST_REPOSITORY}:{hash}")
}

impl Engine {
    /// Says that a build which nobody vouches for gives an image this name. To be said before it does.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn distrust(&self, reference: &ImageReference) -> Result<(), EngineError> {
        let mut failure = None;
        for _ in 0..WRITE_ATTEMPTS {
            if self.is_distrusted(reference).await? {
                return Ok(());
            }
            // Always the same image: of several writers at once it does not matter who wins.
            let image = EmptyImage {
                name: &name_for(reference),
                labels: [(RESERVED_NAMESPACE, "untrusted")].into(),
                author: "",
                created: DateTime::<Utc>::UNIX_EPOCH,
            };
            match self.load_empty(&format!("mark {reference} as built by a run that is not trusted"), &image).await {
                Ok(()) => return Ok(()),
                // The containerd store of Docker 28 fails whoever gives a new name second.
                Err(error @ EngineError::Refused { .. }) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Whether such a build has given an image this name.
    ///
    /// # Errors
    /// [`EngineError`]. Then it may have.
    pub async fn is_distrusted(&self, reference: &ImageReference) -> Result<bool, EngineError> {
        let action = format!("look who has built {reference}");
        match self.inspect(&action, &name_for(reference)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_no_such_image() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::name_for;

    #[test]
    fn a_name_has_one_mark_however_it_is_written() {
        let mark = |text: &str| name_for(&text.parse().unwrap());
        assert_eq!(mark("app"), mark("docker.io/library/app:latest"));
        assert_ne!(mark("app"), mark("app:1"));
        assert_ne!(mark("app"), mark("ghcr.io/org/app"));
    }
}
