//! The classic builder's messages, read into events.

use serde::Deserialize;

/// Something that happened in a classic build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassicEvent {
    /// A step began. Steps are counted through all stages; the builder does not say which stage one belongs to.
    Step {
        /// From 1.
        number: u32,
        /// Number of steps.
        of: u32,
        /// The instruction as the Dockerfile has it, build arguments not expanded.
        instruction: String,
    },
    /// The step that began last came from a cache.
    Cached,
    /// The step that began last ended with this image.
    Layer {
        /// The short id.
        id: String,
    },
    /// A line that a step or the builder printed.
    Log {
        /// The line, without its end.
        line: String,
    },
    /// A base image is being pulled.
    Pull {
        /// The layer, if the message is about one.
        layer: Option<String>,
        /// What is being done with it: `Downloading`, `Pull complete`.
        status: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all, 0 if unknown.
        total: u64,
    },
    /// The build is done.
    Image {
        /// The engine's id of the image.
        id: String,
    },
    /// The build failed. Nothing comes after this.
    Failed {
        /// The engine's message.
        message: String,
        /// The exit status of the step's process, if it was one that failed.
        code: Option<i64>,
    },
}

/// One JSON message of `POST /build` (`pkg/jsonmessage`).
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    stream: Option<String>,
    status: Option<String>,
    id: Option<String>,
    #[serde(rename = "progressDetail")]
    progress: Option<Progress>,
    aux: Option<Aux>,
    #[serde(rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Progress {
    current: Option<u64>,
    total: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Aux {
    #[serde(rename = "ID")]
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ErrorDetail {
    code: Option<i64>,
    message: Option<String>,
}

/// Turns messages into events. What a `RUN` prints may look like the builder's own lines, so the reader keeps track of
/// whether a container runs.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The short id of the container that runs.
    running: Option<String>,
    /// A line that is not complete yet.
    partial: String,
    /// The last image that the builder named as a result: each stage has one.
    image: Option<String>,
}

impl Reader {
    /// The events of one message.
    pub(super) fn read(&mut self, message: Message) -> Vec<ClassicEvent> {
        let mut events = Vec::new();
        if let Some(text) = message.stream {
            self.read_stream(&text, &mut events);
        }
        if let Some(status) = message.status {
            let progress = message.progress.unwrap_or(Progress { current: None, total: None });
            events.push(ClassicEvent::Pull {
                layer: message.id,
                status,
                current: progress.current.unwrap_or(0),
                total: progress.total.unwrap_or(0),
            });
        }
        if let Some(id) = message.aux.and_then(|aux| aux.id) {
            self.image = Some(id);
        }
        let code = message.error_detail.as_ref().and_then(|detail| detail.code);
        if let Some(message) = message.error_detail.and_then(|detail| detail.message).or(message.error) {
            self.flush(&mut events);
            events.push(ClassicEvent::Failed { message, code: code.filter(|code| *code != 0) });
        }
        events
    }

    fn read_stream(&mut self, text: &str, events: &mut Vec<ClassicEvent>) {
        if self.running.is_some() && self.running.as_deref() == removed_container(text) {
            // The builder's word is a message of its own, also if what the step printed last has no line end.
            self.flush(events);
            self.running = None;
            return;
        }
        // A step's line comes without its end, which is a message of its own.
        if self.partial.is_empty()
            && self.running.is_none()
            && let Some(step) = parse_step(text.trim_end())
        {
            events.push(step);
            return;
        }
        self.partial.push_str(text);
        while let Some((line, rest)) = self.partial.split_once('\n') {
            let (line, rest) = (line.trim_end_matches('\r').to_owned(), rest.to_owned());
            self.partial = rest;
            self.read_line(line, events);
        }
    }

    fn read_line(&mut self, line: String, events: &mut Vec<ClassicEvent>) {
        if self.running.is_some() {
            events.push(ClassicEvent::Log { line });
            return;
        }
        match line.strip_prefix(" ---> ") {
            Some("Using cache") => events.push(ClassicEvent::Cached),
            Some(rest) => match rest.strip_prefix("Running in ") {
                Some(container) => self.running = Some(container.to_owned()),
                None if is_short_id(rest) => events.push(ClassicEvent::Layer { id: rest.to_owned() }),
                None => events.push(ClassicEvent::Log { line }),
            },
            None if line.starts_with("Successfully built ") => {
                let short = line.trim_start_matches("Successfully built ");
                let id = self.image.take().unwrap_or_else(|| short.to_owned());
                events.push(ClassicEvent::Image { id });
            }
            None if line.is_empty() || line.starts_with("Successfully tagged ") => {}
            None => events.push(ClassicEvent::Log { line }),
        }
    }

    fn flush(&mut self, events: &mut Vec<ClassicEvent>) {
        let line = std::mem::take(&mut self.partial);
        if !line.is_empty() {
            events.push(ClassicEvent::Log { line });
        }
    }
}

/// `Step 2/5 : RUN make`.
fn parse_step(line: &str) -> Option<ClassicEvent> {
    let (position, instruction) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, of) = position.split_once('/')?;
    Some(ClassicEvent::Step { number: number.parse().ok()?, of: of.parse().ok()?, instruction: instruction.to_owned() })
}

/// Docker 20.10 announces the removal, newer ones report it.
fn removed_container(text: &str) -> Option<&str> {
    let text = text.trim();
    text.strip_prefix("Removing intermediate container ")
        .or_else(|| text.strip_prefix("---> Removed intermediate container "))
}

fn is_short_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{ClassicEvent, Reader};

    fn read(lines: &[&str]) -> Vec<ClassicEvent> {
        let mut reader = Reader::default();
        lines.iter().flat_map(|line| reader.read(serde_json::from_str(line).unwrap())).collect()
    }

    fn log(line: &str) -> ClassicEvent {
        ClassicEvent::Log { line: line.into() }
    }

    fn step(number: u32, of: u32, instruction: &str) -> ClassicEvent {
        ClassicEvent::Step { number, of, instruction: instruction.into() }
    }

    #[test]
    fn reads_a_build() {
        let events = read(&[
            r#"{"stream":"Step 1/2 : FROM busybox"}"#,
            r#"{"stream":"\n"}"#,
            r#"{"stream":" ---\u003e 0123456789ab\n"}"#,
            r#"{"stream":"Step 2/2 : RUN echo hi"}"#,
            r#"{"stream":"\n"}"#,
            r#"{"stream":" ---\u003e Running in aaaaaaaaaaaa\n"}"#,
            r#"{"stream":"h"}"#,
            r#"{"stream":"i\n ---\u003e Using cache\nStep 1/1 : FAKE\n"}"#,
            r#"{"stream":"Removing intermediate container aaaaaaaaaaaa\n"}"#,
            r#"{"stream":" ---\u003e ba9876543210\n"}"#,
            r#"{"aux":{"ID":"sha256:ba98"}}"#,
            r#"{"stream":"Successfully built ba9876543210\n"}"#,
            r#"{"stream":"Successfully tagged app:latest\n"}"#,
        ]);
        assert_eq!(
            events,
            [
                step(1, 2, "FROM busybox"),
                ClassicEvent::Layer { id: "0123456789ab".into() },
                step(2, 2, "RUN echo hi"),
                log("hi"),
                log(" ---> Using cache"),
                log("Step 1/1 : FAKE"),
                ClassicEvent::Layer { id: "ba9876543210".into() },
                ClassicEvent::Image { id: "sha256:ba98".into() },
            ]
        );
    }

    #[test]
    fn knows_when_a_step_has_ended_on_every_engine() {
        for removal in
            ["Removing intermediate container aaaaaaaaaaaa", " ---> Removed intermediate container aaaaaaaaaaaa"]
        {
            let events = read(&[
                r#"{"stream":" ---\u003e Running in aaaaaaaaaaaa\n"}"#,
                r#"{"stream":" ---\u003e Removed intermediate container bbbbbbbbbbbb\n"}"#,
                r#"{"stream":"no line end"}"#,
                &format!(r#"{{"stream":"{removal}\n"}}"#),
                r#"{"stream":" ---\u003e ba9876543210\n"}"#,
            ]);
            assert_eq!(
                events,
                [
                    log(" ---> Removed intermediate container bbbbbbbbbbbb"),
                    log("no line end"),
                    ClassicEvent::Layer { id: "ba9876543210".into() }
                ]
            );
        }
    }

    #[test]
    fn knows_cached_steps() {
        let events = read(&[
            r#"{"stream":"Step 1/1 : RUN true"}"#,
            r#"{"stream":"\n"}"#,
            r#"{"stream":" ---\u003e Using cache\n"}"#,
            r#"{"stream":" ---\u003e 0123456789ab\n"}"#,
        ]);
        assert_eq!(
            events,
            [step(1, 1, "RUN true"), ClassicEvent::Cached, ClassicEvent::Layer { id: "0123456789ab".into() }]
        );
    }

    #[test]
    fn tells_how_a_build_failed() {
        let events = read(&[
            r#"{"stream":" ---\u003e Running in aaaaaaaaaaaa\n"}"#,
            r#"{"stream":"no line end"}"#,
            r#"{"errorDetail":{"code":3,"message":"The command returned a non-zero code: 3"},"error":"The command"}"#,
        ]);
        assert_eq!(
            events,
            [
                log("no line end"),
                ClassicEvent::Failed { message: "The command returned a non-zero code: 3".into(), code: Some(3) },
            ]
        );
        let events = read(&[r#"{"errorDetail":{"message":"pull access denied"},"error":"pull access denied"}"#]);
        assert_eq!(events, [ClassicEvent::Failed { message: "pull access denied".into(), code: None }]);
    }

    #[test]
    fn reports_pulls() {
        let events = read(&[
            r#"{"status":"Downloading","progressDetail":{"current":5,"total":9},"progress":"[=>]","id":"abc"}"#,
            r#"{"status":"Digest: sha256:0"}"#,
        ]);
        assert_eq!(
            events,
            [
                ClassicEvent::Pull { layer: Some("abc".into()), status: "Downloading".into(), current: 5, total: 9 },
                ClassicEvent::Pull { layer: None, status: "Digest: sha256:0".into(), current: 0, total: 0 },
            ]
        );
    }
}
