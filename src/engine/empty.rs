//! Images without layers, which hold a few words in the engine.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::TryStreamExt;
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::load::LoadMessage;
use super::transport::post;
use super::{Engine, EngineError};

/// An image that is nothing but its configuration.
pub(super) struct EmptyImage<'a> {
    pub(super) name: &'a str,
    pub(super) labels: BTreeMap<&'a str, &'a str>,
    /// Whatever it holds.
    pub(super) author: &'a str,
    pub(super) created: DateTime<Utc>,
}

/// An entry of a `docker save` archive's `manifest.json`, which every engine loads (moby, `image/tarexport`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest<'a> {
    config: &'a str,
    repo_tags: [&'a str; 1],
    layers: [&'a str; 0],
}

impl Engine {
    /// Loads and names it in one request, all or nothing, in the place of what has the name.
    pub(super) async fn load_empty(&self, action: &str, image: &EmptyImage<'_>) -> Result<(), EngineError> {
        let archive = image
            .archive(&self.info.platform)
            .map_err(|source| EngineError::Malformed { action: action.to_owned(), source: source.into() })?;
        self.send_archive(action, "/images/load?quiet=1", archive.into()).await
    }

    /// Sends an archive, and waits until the engine is done with it.
    pub(super) async fn send_archive(&self, action: &str, target: &str, archive: Bytes) -> Result<(), EngineError> {
        let request = post(target, "application/x-tar", Full::new(archive));
        let request = request.map_err(|error| error.into_engine_error(action))?;
        let messages = self.transport.clone().post_streaming::<_, LoadMessage>(action.to_owned(), request);
        messages
            .try_for_each(|message| {
                std::future::ready(match message.error {
                    Some(message) => Err(EngineError::Refused { action: action.to_owned(), status: 200, message }),
                    None => Ok(()),
                })
            })
            .await
    }
}

impl EmptyImage<'_> {
    /// A `docker save` archive of it.
    fn archive(&self, platform: &str) -> Result<Vec<u8>, std::io::Error> {
        let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
        let config = serde_json::to_vec(&json!({
            "os": os,
            "architecture": architecture,
            "created": self.created.to_rfc3339_opts(SecondsFormat::Nanos, true),
            "author": self.author,
            "config": {"Labels": self.labels},
            "rootfs": {"type": "layers", "diff_ids": []},
        }))?;
        let hex: String = Sha256::digest(&config).iter().map(|byte| format!("{byte:02x}")).collect();
        let config_path = format!("{hex}.json");
        let manifest = serde_json::to_vec(&[Manifest { config: &config_path, repo_tags: [self.name], layers: [] }])?;

        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in [("manifest.json", &manifest), (config_path.as_str(), &config)] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(content.len().try_into().map_err(std::io::Error::other)?);
            archive.append_data(&mut header, path, content.as_slice())?;
        }
        archive.into_inner()
    }
}
