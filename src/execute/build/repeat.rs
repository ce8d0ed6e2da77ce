//! Whether a build that failed is done once more without the records of the image cache.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::buildkit::solve::SolveError;
use crate::buildkit::trace::{Kind, Trace, Vertex};
use crate::outcome::from_trace::exit_code;

/// What engines say when the content, the snapshot or the layer that a record leads to is not there, or goes away while it
/// is used. Text in quotes is the person's (a path in `COPY`), and stands for nothing.
static LOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let what = "content(?: digest)? sha256:[0-9a-f]+|(?:parent )?snapshot [^\"\\s]+|lease [^\"\\s]+|layer|blob(?: sha256:[0-9a-f]+)?";
    Regex::new(&format!("(?:^|[\\s:])(?:{what}):? (?:not found|does not exist)")).ok()
});

/// Whether everything was built, and only the image could not be exported. To do it again only exports it again: every step is
/// in the builder.
pub(super) fn only_the_export_failed(error: &SolveError) -> bool {
    lost_the_name(error) || lost_while_unpacking(error)
}

/// Whether two builds gave the image its name at the same time, and this one lost: the containerd store of Docker 28 fails
/// then (`image "…": already exists`).
fn lost_the_name(error: &SolveError) -> bool {
    let SolveError::Failed { message } = error else { return false };
    message.contains("image \"") && message.ends_with("\": already exists")
}

/// Whether a layer of the image could not be unpacked because what is below it went away in that moment. **Measured** on the
/// containerd store of Docker 28, now and then while it collects garbage after an image was removed.
fn lost_while_unpacking(error: &SolveError) -> bool {
    let SolveError::Failed { message } = error else { return false };
    message.starts_with("failed to prepare extraction snapshot \"") && message.contains("does not exist")
}

/// What two solves did, of which the first built and the second only exported once more.
pub(super) fn built_and_exported(built: Trace, exported: Trace) -> Trace {
    let of = |trace: Trace, exports: bool| {
        trace.vertices.into_iter().filter(move |v| matches!(v.kind, Kind::Export) == exports)
    };
    let broke_off = exported.broke_off;
    Trace { vertices: of(built, false).chain(of(exported, true)).collect(), broke_off }
}

/// What two solves did, of which the first broke off: what it made is in the builder, and is found there by the second; it is
/// not cached for that.
pub(super) fn begun_and_built(begun: Trace, built: Trace) -> Trace {
    let ended = |vertex: &Vertex| vertex.intervals.iter().any(|span| span.end.is_some());
    let ran = |vertex: &Vertex| !vertex.cached && vertex.error.is_none() && ended(vertex);
    let mut ran: BTreeMap<String, Vertex> =
        begun.vertices.into_iter().filter(ran).map(|vertex| (vertex.digest.clone(), vertex)).collect();
    let vertices = built.vertices.into_iter().map(|vertex| match ran.remove(&vertex.digest) {
        Some(before) if vertex.cached => before,
        _ => vertex,
    });
    Trace { vertices: vertices.collect(), broke_off: built.broke_off }
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

/// The same, if exporting once more would not do.
pub(super) fn because_of_more_than_the_export(error: &SolveError, trace: &Trace) -> Option<String> {
    because(error, trace).filter(|_| !only_the_export_failed(error))
}

#[cfg(test)]
mod tests {
    use super::because;
    use crate::buildkit::solve::SolveError;
    use crate::buildkit::trace::{Span, Trace, Vertex, parse_name};

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
        let trace = Trace { vertices: vertex.map(failed).into_iter().collect(), ..Trace::default() };
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
    fn what_can_be_exported_again_is_not_the_records_fault_at_once() {
        let failed = |message: &str| SolveError::Failed { message: message.to_owned() };
        let unpacking = failed("failed to prepare extraction snapshot \"a\": parent snapshot sha256:cd does not exist");
        let gone = failed("snapshot abc does not exist: not found");
        let blamed = |error| super::because_of_more_than_the_export(error, &Trace::default()).is_some();
        assert!(!blamed(&unpacking) && because(&unpacking, &Trace::default()).is_some());
        assert!(blamed(&gone));
    }

    fn vertex(name: &str, cached: bool) -> Vertex {
        let at = |seconds| std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        Vertex {
            digest: name.to_owned(),
            inputs: Vec::new(),
            name: name.to_owned(),
            kind: parse_name(name),
            cached,
            intervals: vec![Span { start: at(1), end: Some(at(2)) }],
            error: None,
            tail: Vec::new(),
            transferred: 0,
        }
    }

    fn trace(vertices: Vec<Vertex>) -> Trace {
        Trace { vertices, ..Trace::default() }
    }

    #[test]
    fn what_ran_before_it_broke_off_is_not_cached() {
        let cancelled = Vertex { error: Some("context canceled".to_owned()), ..vertex("[3/4] RUN y", false) };
        let begun = trace(vec![vertex("[1/4] RUN w", true), vertex("[2/4] RUN x", false), cancelled]);
        let built = trace(vec![
            vertex("[1/4] RUN w", true),
            vertex("[2/4] RUN x", true),
            vertex("[3/4] RUN y", false),
            vertex("[4/4] RUN z", true),
        ]);
        let joined = super::begun_and_built(begun, built);
        let told: Vec<bool> = joined.vertices.iter().map(|vertex| vertex.cached).collect();
        assert_eq!(told, [true, false, false, true]);
    }

    #[test]
    fn what_was_built_counts_and_not_that_it_was_found_again() {
        let first = trace(vec![vertex("[2/2] RUN x", false), vertex("exporting to image", false)]);
        let second = trace(vec![vertex("[2/2] RUN x", true), vertex("exporting to image", true)]);
        let joined = super::built_and_exported(first, second);
        let told: Vec<(&str, bool)> = joined.vertices.iter().map(|v| (v.name.as_str(), v.cached)).collect();
        assert_eq!(told, [("[2/2] RUN x", false), ("exporting to image", true)]);
    }

    #[test]
    fn a_lost_connection_and_a_cancelled_build_are_not_repeated() {
        let disconnected = SolveError::Disconnected { message: "layer does not exist".to_owned() };
        for error in [disconnected, SolveError::Cancelled] {
            assert_eq!(because(&error, &Trace::default()), None, "{error}");
        }
    }
}
