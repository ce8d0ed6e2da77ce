//! Whether a build that failed is done once more without the records of the image cache.

use std::sync::LazyLock;

use regex::Regex;

use crate::buildkit::solve::SolveError;
use crate::buildkit::trace::{Kind, Trace};
use crate::outcome::from_trace::exit_code;

/// What engines say when the content, the snapshot or the layer that a record leads to is not there, or goes away while it
/// is used. Text in quotes is the person's (a path in `COPY`), and stands for nothing.
static LOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let what = "content(?: digest)? sha256:[0-9a-f]+|(?:parent )?snapshot [^\"\\s]+|lease [^\"\\s]+|layer|blob(?: sha256:[0-9a-f]+)?";
    Regex::new(&format!("(?:^|[\\s:])(?:{what}):? (?:not found|does not exist)")).ok()
});

/// Whether two builds gave the image its name at the same time, and this one lost: the containerd store of Docker 28 fails
/// then (`image "…": already exists`), with everything built. To do it again only names it again.
pub(super) fn lost_the_name(error: &SolveError) -> bool {
    let SolveError::Failed { message } = error else { return false };
    message.contains("image \"") && message.ends_with("\": already exists")
}

/// Whether everything was built, and only a layer of the image could not be unpacked because what is below it went away in that
/// moment. **Measured** on the containerd store of Docker 28, now and then while it collects garbage after an image was removed.
/// To do it again only exports it again: every step is in the builder.
pub(super) fn lost_while_unpacking(error: &SolveError) -> bool {
    let SolveError::Failed { message } = error else { return false };
    message.starts_with("failed to prepare extraction snapshot \"") && message.contains("does not exist")
}

/// What two solves did, of which the first built and the second only exported once more.
pub(super) fn built_and_exported(built: Trace, exported: Trace) -> Trace {
    let of = |trace: Trace, exports: bool| {
        trace.vertices.into_iter().filter(move |v| matches!(v.kind, Kind::Export) == exports)
    };
    Trace { vertices: of(built, false).chain(of(exported, true)).collect() }
}

/// Why the records could be to blame for the failure; nothing where they are not.
///
/// A process that ran and failed would fail again, and perhaps only after a long time: that is never repeated.
pub(super) fn because(error: &SolveError, trace: &Trace) -> Option<String> {
    let SolveError::Failed { message } = error else { return None };
    let failed = trace.failed(message).and_then(|vertex| vertex.error.as_deref());
    if exit_code(message).is_some() || failed.is_some_and(|error| exit_code(error).is_some()) {
        return None;
    }
    LOST.as_ref()?.is_match(message).then(|| message.clone())
}

#[cfg(test)]
mod tests {
    use super::because;
    use crate::buildkit::solve::SolveError;
    use crate::buildkit::trace::{Trace, Vertex, parse_name};

    fn repeated(message: &str, vertex: Option<&str>) -> bool {
        let failed = |error: &str| Vertex {
            digest: "d".to_owned(),
            inputs: Vec::new(),
            name: "[2/2] RUN x".to_owned(),
            kind: parse_name("[2/2] RUN x"),
            cached: false,
            intervals: Vec::new(),
            error: Some(error.to_owned()),
            tail: Vec::new(),
            transferred: 0,
        };
        let trace = Trace { vertices: vertex.map(failed).into_iter().collect() };
        because(&SolveError::Failed { message: message.to_owned() }, &trace).is_some()
    }

    #[test]
    fn only_what_the_records_can_be_blamed_for() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for lost in [
            format!("failed to solve: content {digest}: not found"),
            format!("content digest {digest}: not found"),
            format!("failed to copy: content {digest}: not found: not found"),
            "failed to prepare sha256:ab as xyz: parent snapshot sha256:ab does not exist: not found".to_owned(),
            "snapshot abc does not exist: not found".to_owned(),
            "failed to solve: lease xyz: not found".to_owned(),
            "failed to get layer sha256:ab: layer does not exist".to_owned(),
        ] {
            assert!(repeated(&lost, None), "{lost}");
            // The same words out of a process that failed.
            assert!(!repeated(&format!("{lost}: exit code: 1"), None), "{lost}");
            assert!(!repeated(&lost, Some("process \"x\" did not complete successfully: exit code: 3")), "{lost}");
        }
        for other in [
            "process \"/bin/sh -c false\" did not complete successfully: exit code: 1",
            "executor failed running [/bin/sh -c make]: exit code: 2",
            "failed to compute cache key: \"/content sha256:aa\" not found",
            "failed to calculate checksum of ref x::y: \"/snapshot a\": not found",
            "docker.io/library/nothing:1: not found",
            "failed to solve with frontend dockerfile.v0: dockerfile parse error line 2: unknown instruction: FRMO",
            "pull access denied, repository does not exist or may require authorization",
        ] {
            assert!(!repeated(other, None), "{other}");
        }
    }

    #[test]
    fn a_name_that_another_build_gave() {
        let lost = |message: &str| super::lost_the_name(&SolveError::Failed { message: message.to_owned() });
        assert!(lost("image \"docker.io/library/x:latest\": already exists"));
        assert!(!lost("process \"/bin/sh -c mkdir x\" did not complete successfully: exit code: 1"));
        assert!(!lost("mkdir: x: already exists"));
    }

    #[test]
    fn a_layer_that_could_not_be_unpacked() {
        let lost = |message: &str| super::lost_while_unpacking(&SolveError::Failed { message: message.to_owned() });
        assert!(lost(
            "failed to prepare extraction snapshot \"extract-1 sha256:ab\": parent snapshot sha256:cd does not exist: not found"
        ));
        assert!(!lost("failed to prepare sha256:ab as xyz: parent snapshot sha256:ab does not exist: not found"));
    }

    #[test]
    fn what_was_built_counts_and_not_that_it_was_found_again() {
        let vertex = |name: &str, cached| Vertex {
            digest: name.to_owned(),
            inputs: Vec::new(),
            name: name.to_owned(),
            kind: parse_name(name),
            cached,
            intervals: Vec::new(),
            error: None,
            tail: Vec::new(),
            transferred: 0,
        };
        let first = Trace { vertices: vec![vertex("[2/2] RUN x", false), vertex("exporting to image", false)] };
        let second = Trace { vertices: vec![vertex("[2/2] RUN x", true), vertex("exporting to image", true)] };
        let joined = super::built_and_exported(first, second);
        let told: Vec<(&str, bool)> = joined.vertices.iter().map(|v| (v.name.as_str(), v.cached)).collect();
        assert_eq!(told, [("[2/2] RUN x", false), ("exporting to image", true)]);
    }

    #[test]
    fn a_lost_connection_is_not_repeated() {
        let error = SolveError::Disconnected { message: "layer does not exist".to_owned() };
        assert_eq!(because(&error, &Trace::default()), None);
    }
}
