//! Loads the archive of an image, as it arrives from elsewhere: nothing of it is held.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Deserialize;

use super::transport::post;
use super::{Engine, EngineError};

/// What an engine says of each name, and of an image without a name (moby `image/tarexport/load.go`,
/// `daemon/containerd/image_exporter.go`).
const LOADED: [&str; 2] = ["Loaded image: ", "Loaded image ID: "];

/// One line of the answer to a load.
#[derive(Debug, Deserialize)]
pub(super) struct LoadMessage {
    /// What was loaded, on a line of its own.
    #[serde(default)]
    pub(super) stream: Option<String>,
    /// Why it was not.
    #[serde(default)]
    pub(super) error: Option<String>,
}

impl Engine {
    /// Loads an image out of a `docker save` archive with its names, and gives its id: the config's digest on a graph
    /// driver, the manifest's on the containerd store.
    ///
    /// If the archive ends in an error, so does the request, and the engine keeps nothing of it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn load_image<S>(&self, archive: S) -> Result<String, EngineError>
    where
        S: Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    {
        let action = "load the image into the engine".to_owned();
        let body = StreamBody::new(archive.map_ok(Frame::data));
        let request = post("/images/load?quiet=1", "application/x-tar", body);
        let request = request.map_err(|error| error.into_engine_error(&action))?;
        let messages = self.transport.clone().post_streaming::<_, LoadMessage>(action.clone(), request);
        let messages: Vec<LoadMessage> = messages.try_collect().await?;
        if let Some(message) = messages.iter().find_map(|message| message.error.clone()) {
            return Err(EngineError::Refused { action, status: 200, message });
        }
        let mut names = messages.iter().filter_map(|message| message.stream.as_deref()).filter_map(loaded);
        let Some(name) = names.next_back() else {
            let message = "it does not say that it loaded anything".to_owned();
            return Err(EngineError::Refused { action, status: 200, message });
        };
        let details = self.inspect_image(name).await?;
        let gone = || EngineError::Refused { action, status: 404, message: format!("{name} was loaded, and is gone") };
        details.map(|details| details.id).ok_or_else(gone)
    }
}

/// The name or id in a line that says that an image was loaded.
fn loaded(line: &str) -> Option<&str> {
    LOADED.iter().find_map(|said| line.trim().strip_prefix(said)).map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::loaded;

    #[test]
    fn reads_what_engines_say() {
        for (line, expected) in [
            ("Loaded image: app:1\n", Some("app:1")),
            ("Loaded image ID: sha256:0123\n", Some("sha256:0123")),
            ("The image app:1 already exists, renaming the old one with ID sha256:0 to empty string\n", None),
            ("Loaded image: \n", None),
        ] {
            assert_eq!(loaded(line), expected);
        }
    }
}
