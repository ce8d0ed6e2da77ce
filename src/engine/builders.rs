//! Builders that `docker buildx create` made on this engine: their containers, and the volumes with their state.
//!
//! Names are those of docker/buildx `driver/docker-container`: a builder's node `multi0` is the container
//! `buildx_buildkit_multi0`, and its state the volume `buildx_buildkit_multi0_state`.

use std::io;

use bollard::exec::CreateExecOptions;
use bollard::query_parameters::{RemoveVolumeOptions, StopContainerOptions};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::images::bytes;
use super::transport::{ANSWER_TIMEOUT, TransportError, checked};
use super::{Container, Engine, EngineError};
use crate::address::ByteStream;

const PREFIX: &str = "buildx_buildkit_";
const STATE: &str = "_state";
/// buildkitd ends within a second of being asked to; this is what docker gives a container.
const STOP_SECONDS: i32 = 10;

/// A builder in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderContainer {
    /// The container's id.
    pub id: String,
    /// The name of the builder's node: `multi0`.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// The volume with its state, if it has one.
    pub volume: Option<StateVolume>,
}

/// A volume with the state of a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateVolume {
    /// Its name.
    pub name: String,
    /// Its bytes; 0 if the engine does not tell.
    pub bytes: u64,
    /// The name of a container that mounts it, if there is one.
    pub container: Option<String>,
}

/// The builders of an engine besides its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Builders {
    /// Those that are there, by name.
    pub containers: Vec<BuilderContainer>,
    /// What is left of others: volumes whose builder has no container any more.
    pub left_over: Vec<StateVolume>,
}

impl BuilderContainer {
    /// What its builder may be called, see [`names_of`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        names_of(&self.name)
    }
}

impl StateVolume {
    /// What the builder may be called whose state it holds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let name = self.name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(STATE));
        names_of(name.unwrap_or(&self.name))
    }
}

/// The node's own name, which a person may have chosen, and all that its builder may be called: buildx numbers the nodes of
/// each from 0, and a builder's name may end in digits itself. `multi10` is node 10 of `multi`, or node 0 of `multi1`.
fn names_of(node: &str) -> impl Iterator<Item = &str> {
    let digits = node.bytes().rev().take_while(u8::is_ascii_digit).count();
    let ends = (0..=digits).filter_map(move |cut| node.get(..node.len().checked_sub(cut)?));
    ends.filter(|name| !name.is_empty())
}

impl Engine {
    /// The builders of this engine besides its own, and what is left of former ones. Slow: it measures volumes.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn builders(&self) -> Result<Builders, EngineError> {
        let usage = self.disk_usage::<RawUsage>("measure the volumes", "volume");
        let (usage, containers) = tokio::try_join!(usage, self.containers())?;
        Ok(assemble(usage, &containers))
    }

    /// A byte stream to the BuildKit of a running builder, as buildx opens it: `buildctl dial-stdio` in its container.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn dial_builder(&self, builder: &BuilderContainer) -> Result<ByteStream, EngineError> {
        let action = format!("talk to builder {}", builder.name);
        let options = CreateExecOptions {
            cmd: Some(vec!["buildctl", "dial-stdio"]),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let created = self.docker.create_exec(&builder.id, options).await;
        let id = created.map_err(|error| self.failed(action.clone(), error))?.id;
        // Not through bollard: it cuts the stream into lines.
        let request = Request::post(format!("/exec/{id}/start"))
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp")
            .body(Full::<Bytes>::from(r#"{"Detach":false,"Tty":false}"#));
        let request = request.map_err(|error| TransportError::Request(error).into_engine_error(&action))?;
        let response = self.transport.send(request).await.map_err(|error| error.into_engine_error(&action))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            drop(checked(&action, response).await?);
            return Err(EngineError::Malformed { action, source: "the stream was not switched".into() });
        }
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(|source| EngineError::Broken { action, source: source.into() })?;
        let (read, write) = tokio::io::split(TokioIo::new(upgraded));
        Ok(Box::new(tokio::io::join(StreamReader::new(Box::pin(standard_output(read))), write)))
    }

    /// Starts a container; says whether it did, or whether it runs already because somebody else was faster.
    ///
    /// Not through bollard, which takes the status of the one (204) for that of the other (304).
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn start_container(&self, container: &str) -> Result<bool, EngineError> {
        let action = format!("start container {container}");
        let started = async {
            let request = Request::post(format!("/containers/{container}/start")).body(Full::<Bytes>::default());
            let request = request.map_err(|error| TransportError::Request(error).into_engine_error(&action))?;
            let response = self.transport.send(request).await.map_err(|error| error.into_engine_error(&action))?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(false);
            }
            checked(&action, response).await.map(|_nothing| true)
        };
        tokio::time::timeout(ANSWER_TIMEOUT, started).await.unwrap_or_else(|_| {
            let address = self.transport.address.to_string();
            Err(EngineError::NotAnswering { action: action.clone(), address, after: ANSWER_TIMEOUT })
        })
    }

    /// Stops a container.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn stop_container(&self, container: &str) -> Result<(), EngineError> {
        let options = StopContainerOptions { t: Some(STOP_SECONDS), ..StopContainerOptions::default() };
        let stopped = self.docker.stop_container(container, Some(options)).await;
        stopped.map_err(|error| self.failed(format!("stop container {container}"), error))
    }

    /// Removes a volume. Never by force: the engine refuses while a container has it.
    ///
    /// # Errors
    /// [`EngineError`]; status 404 if it is not there, 409 if a container has it.
    pub async fn remove_volume(&self, volume: &str) -> Result<(), EngineError> {
        let removed = self.docker.remove_volume(volume, None::<RemoveVolumeOptions>).await;
        removed.map_err(|error| self.failed(format!("remove volume {volume}"), error))
    }
}

fn assemble(usage: RawUsage, containers: &[Container]) -> Builders {
    let mut volumes: Vec<StateVolume> = usage
        .volumes
        .unwrap_or_default()
        .into_iter()
        .filter(|volume| {
            volume.name.strip_prefix(PREFIX).is_some_and(|rest| rest.len() > STATE.len() && rest.ends_with(STATE))
        })
        .map(|volume| StateVolume {
            bytes: volume.usage_data.map_or(0, |usage| bytes(usage.size)),
            container: containers.iter().find(|it| it.volumes.contains(&volume.name)).map(|it| it.name.clone()),
            name: volume.name,
        })
        .collect();
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut builders = Builders::default();
    for container in containers {
        let Some(name) = container.name.strip_prefix(PREFIX).filter(|name| !name.is_empty()) else { continue };
        let state = format!("{}{STATE}", container.name);
        builders.containers.push(BuilderContainer {
            id: container.id.clone(),
            name: name.to_owned(),
            running: container.running,
            volume: volumes.iter().position(|volume| volume.name == state).map(|at| volumes.remove(at)),
        });
    }
    builders.containers.sort_by(|a, b| a.name.cmp(&b.name));
    builders.left_over = volumes;
    builders
}

/// What a process wrote to its standard output: the engine puts it into frames, and the standard error beside it (Engine
/// API, `ContainerAttach`: one byte that tells which, three of zeros, four of the length, big-endian).
fn standard_output(read: impl AsyncRead + Unpin + Send) -> impl stream::Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(read, async |mut read| {
        loop {
            let mut head = [0; 8];
            match read.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let [kind, _, _, _, length @ ..] = head;
            let mut content = Vec::new();
            let length = u64::from(u32::from_be_bytes(length));
            (&mut read).take(length).read_to_end(&mut content).await?;
            if kind == 1 && !content.is_empty() {
                return Ok(Some((Bytes::from(content), read)));
            }
            let text = String::from_utf8_lossy(&content);
            tracing::debug!("a builder's own client said: {}", text.trim());
        }
    })
}

/// The parts of `GET /system/df` that matter here, in the shape that every API up to 1.51 has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawUsage {
    volumes: Option<Vec<RawVolume>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawVolume {
    name: String,
    usage_data: Option<RawVolumeUsage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawVolumeUsage {
    size: i64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::TryStreamExt;
    use serde_json::json;

    use super::{assemble, standard_output};
    use crate::engine::Container;

    fn container(name: &str, running: bool, volumes: &[&str]) -> Container {
        Container {
            id: format!("{name}-id"),
            name: name.into(),
            image_id: String::new(),
            image: String::new(),
            labels: BTreeMap::new(),
            running,
            volumes: volumes.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn finds_builders_and_what_is_left_of_others() {
        let usage = json!({"Volumes": [
            {"Name": "buildx_buildkit_multi0_state", "UsageData": {"Size": 7, "RefCount": 1}},
            {"Name": "buildx_buildkit_old0_state", "UsageData": {"Size": 5, "RefCount": 0}},
            {"Name": "buildx_buildkit_held0_state", "UsageData": {"Size": -1, "RefCount": 1}},
            {"Name": "buildx_buildkit__state", "UsageData": null}, {"Name": "buildx_buildkit_x0"}, {"Name": "data_state"},
        ]});
        let containers = [
            container("web", true, &["buildx_buildkit_held0_state", "data_state"]),
            container("buildx_buildkit_multi0", true, &["buildx_buildkit_multi0_state"]),
            container("buildx_buildkit_bare0", false, &[]),
            container("buildx_buildkit_", true, &[]),
        ];
        let found = assemble(serde_json::from_value(usage).unwrap(), &containers);
        let of = |it: &super::BuilderContainer| (it.name.clone(), it.running, it.volume.as_ref().map(|it| it.bytes));
        assert_eq!(
            found.containers.iter().map(of).collect::<Vec<_>>(),
            [("bare0".into(), false, None), ("multi0".into(), true, Some(7))]
        );
        let of = |it: &super::StateVolume| (it.name.clone(), it.bytes, it.container.clone());
        assert_eq!(
            found.left_over.iter().map(of).collect::<Vec<_>>(),
            [
                ("buildx_buildkit_held0_state".into(), 0, Some("web".into())),
                ("buildx_buildkit_old0_state".into(), 5, None)
            ]
        );
        assert_eq!(
            assemble(serde_json::from_value(json!({"Volumes": null})).unwrap(), &[]),
            super::Builders::default()
        );
    }

    #[test]
    fn a_builder_may_be_called_by_what_its_node_is_without_a_number() {
        for (node, names) in [
            ("multi0", &["multi0", "multi"][..]),
            ("multi10", &["multi10", "multi1", "multi"]),
            ("MyNode", &["MyNode"]),
            ("7", &["7"]),
        ] {
            let container =
                super::BuilderContainer { id: String::new(), name: node.into(), running: true, volume: None };
            assert_eq!(container.names().collect::<Vec<_>>(), names);
            let name = format!("buildx_buildkit_{node}_state");
            let volume = super::StateVolume { name, bytes: 0, container: None };
            assert_eq!(volume.names().collect::<Vec<_>>(), names);
        }
    }

    #[tokio::test]
    async fn takes_the_frames_apart() {
        let frames: &[u8] =
            b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01c\x01\0";
        let said: Vec<_> = standard_output(frames).try_collect().await.unwrap();
        assert_eq!(said.concat(), b"abc");
    }
}
