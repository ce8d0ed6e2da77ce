//! What a vertex's name says.
//!
//! The Dockerfile frontend names steps `[4/4] RUN …`, `[build 2/5] RUN …`, `[linux/arm64 build 2/5] RUN …`
//! (`dockerfile2llb`, `prefixCommand`), its own operations `[internal] …`, and the exporters and importers
//! `exporting …` and `importing cache manifest from …`.

use std::sync::LazyLock;

use regex::Regex;

/// What a vertex is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An instruction of the Dockerfile.
    Step(StepName),
    /// `[internal] …`: the Dockerfile, the ignore file, the context, metadata of a base image.
    Internal,
    /// `[build 1/5] FROM …`: a base image or a named context.
    Base,
    /// `importing cache manifest from …`.
    CacheImport {
        /// What it imports from.
        from: String,
    },
    /// `exporting …`, `writing image …`, `naming to …`, `unpacking to …`, `pushing …`.
    Export,
    /// Anything else: `resolve image config for …`, `[auth] …`, a linked copy's merge.
    Other,
}

/// The parts of a step's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepName {
    /// The platform, where several are built at once.
    pub platform: Option<String>,
    /// The stage's name, or `stage-N` where it has none; absent if the Dockerfile has one stage only.
    pub stage: Option<String>,
    /// Position in the stage, from 1; `FROM` is 1.
    pub position: u32,
    /// Steps in the stage.
    pub of: u32,
    /// The instruction.
    pub instruction: String,
}

static STEP: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^\[(?:(\S+/\S+(?:->\S+)?) )?(?:(\S.*?) )?(\d+)/(\d+)\] (.*)$").ok());

/// Takes a vertex's name apart.
pub fn parse(name: &str) -> Kind {
    if name.starts_with("[internal] ") || name == "[internal]" {
        return Kind::Internal;
    }
    if let Some(from) = name.strip_prefix("importing cache manifest from ") {
        return Kind::CacheImport { from: from.trim().to_owned() };
    }
    let exports = ["exporting ", "writing image ", "naming to ", "unpacking to ", "pushing ", "preparing build cache"];
    if exports.iter().any(|prefix| name.starts_with(prefix)) {
        return Kind::Export;
    }
    match step(name) {
        Some(step) if step.instruction.split_whitespace().next() == Some("FROM") => Kind::Base,
        // The second half of a `COPY --link`, which puts the copied files upon what is there (`dispatchCopy`).
        Some(step) if step.instruction.starts_with("LINK ") => Kind::Other,
        Some(step) => Kind::Step(step),
        None => Kind::Other,
    }
}

fn step(name: &str) -> Option<StepName> {
    let captures = STEP.as_ref()?.captures(name)?;
    let text = |index: usize| captures.get(index).map(|m| m.as_str().to_owned());
    Some(StepName {
        platform: text(1),
        stage: text(2),
        position: text(3)?.parse().ok()?,
        of: text(4)?.parse().ok()?,
        instruction: text(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Kind, StepName, parse};

    fn step(platform: Option<&str>, stage: Option<&str>, position: u32, of: u32, instruction: &str) -> Kind {
        Kind::Step(StepName {
            platform: platform.map(str::to_owned),
            stage: stage.map(str::to_owned),
            position,
            of,
            instruction: instruction.to_owned(),
        })
    }

    #[test]
    fn names_as_the_frontend_writes_them() {
        for (name, kind) in [
            ("[4/4] RUN make", step(None, None, 4, 4, "RUN make")),
            ("[build 2/5] RUN npm ci", step(None, Some("build"), 2, 5, "RUN npm ci")),
            ("[stage-0 4/4] COPY . .", step(None, Some("stage-0"), 4, 4, "COPY . .")),
            ("[linux/arm64 build 2/5] RUN x", step(Some("linux/arm64"), Some("build"), 2, 5, "RUN x")),
            ("[linux/arm64 2/2] RUN x", step(Some("linux/arm64"), None, 2, 2, "RUN x")),
            ("[linux/amd64->arm64 go 2/2] RUN x", step(Some("linux/amd64->arm64"), Some("go"), 2, 2, "RUN x")),
            ("[2/3] RUN a\nb", step(None, None, 2, 3, "RUN a\nb")),
            ("[build 1/5] FROM docker.io/library/busybox:1.36", Kind::Base),
            ("[internal] load build context", Kind::Internal),
            ("importing cache manifest from app:latest", Kind::CacheImport { from: "app:latest".to_owned() }),
            ("exporting to image", Kind::Export),
            ("exporting layers", Kind::Export),
            ("[auth] library/busybox:pull token for registry-1.docker.io", Kind::Other),
            ("resolve image config for docker.io/docker/dockerfile:1", Kind::Other),
            ("[x/y] odd", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(parse(name), kind, "{name:?}");
        }
    }
}
