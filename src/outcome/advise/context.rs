//! The context sends much that no step uses.
//!
//! BuildKit asks for no file that no `COPY`, `ADD` or mount names, so what is not named never travels. What does travel
//! for nothing is what a whole directory brings along: caches of tools, and what a step replaces.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Subject;
use super::command::commands;
use super::stage::copies;
use crate::outcome::advice::{Advice, AdviceKind};
use crate::outcome::build::{Interval, time_of};
use crate::outcome::why::layout::Layout;
use crate::patterns::slash_path::clean;
use crate::project::dockerfile::{Instruction, Stage};

/// Bytes that have to travel before anybody looks: 50 MB.
pub const MUCH: u64 = 50_000_000;
/// Directories that are named.
const NAMED: usize = 3;
/// Directories in which tools keep what they can make again, and which serve nobody but the machine that they are on.
const CACHES: [&str; 14] = [
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".gradle",
    ".terraform",
    ".idea",
    ".vscode",
    ".nyc_output",
    ".parcel-cache",
    ".turbo",
    ".sass-cache",
];
/// The file that says so of any other directory (<https://bford.info/cachedir/>): Cargo's `target`, virtual environments.
const TAG: &str = "CACHEDIR.TAG";

/// A file of the context that can travel: its path, and its bytes.
pub type ContextFile = (String, u64);

/// Advice where at least half of what travelled was for nothing.
pub(super) fn advice(subject: &Subject<'_>) -> Option<Advice> {
    let (layout, files) = (subject.layout()?, subject.context?);
    let sent = subject.image.context_bytes;
    let total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    // What the builder has of an earlier build does not travel; then nobody knows what did.
    if sent < MUCH || sent < total / 10 * 9 {
        return None;
    }
    let largest = unused(&layout, files);
    let unused: u64 = largest.iter().map(|(_, bytes)| bytes).sum();
    let loading = subject
        .image
        .other
        .iter()
        .filter(|operation| operation.critical && operation.name.contains("load build context"));
    let loading: Vec<Interval> = loading.flat_map(|operation| &operation.intervals).copied().collect();
    (unused >= sent / 2).then(|| Advice {
        image: subject.image.name.clone(),
        location: None,
        saves: share(time_of(&loading), unused, sent),
        kind: AdviceKind::ContextUnused {
            sent,
            used: sent.saturating_sub(unused),
            largest: largest.into_iter().take(NAMED).collect(),
        },
    })
}

fn share(whole: Duration, part: u64, of: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "an estimate, and less than 2^53 bytes")]
    let share = part as f64 / of.max(1) as f64;
    whole.mul_f64(share.min(1.0))
}

/// Directories that travel and serve no step, the largest first.
fn unused(layout: &Layout<'_>, files: &[ContextFile]) -> Vec<ContextFile> {
    let tagged: BTreeSet<&str> =
        files.iter().filter_map(|(path, _)| path.strip_suffix(TAG)?.strip_suffix('/')).collect();
    let mut directories: BTreeMap<&str, u64> = BTreeMap::new();
    let mut judged: BTreeMap<&str, bool> = BTreeMap::new();
    for (path, bytes) in files {
        let parents = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        let mut outermost = parents.filter(|directory| {
            *judged.entry(directory).or_insert_with(|| serves_nobody(layout, directory, tagged.contains(directory)))
        });
        if let Some(directory) = outermost.next() {
            *directories.entry(directory).or_default() += bytes;
        }
    }
    let mut largest: Vec<ContextFile> =
        directories.into_iter().map(|(directory, bytes)| (directory.to_owned(), bytes)).collect();
    largest.sort_by(|(one, size), (other, other_size)| other_size.cmp(size).then(one.cmp(other)));
    largest
}

fn serves_nobody(layout: &Layout<'_>, directory: &str, tagged: bool) -> bool {
    let name = directory.rsplit('/').next().unwrap_or(directory);
    let is_cache = tagged || CACHES.contains(&name);
    if !is_cache && !matches!(name, "node_modules" | ".git") {
        return false;
    }
    let stages = layout.dockerfile.stages().iter();
    let mut instructions = stages.clone().flat_map(Stage::instructions);
    // Whoever names it may need it.
    if instructions.any(|instruction| layout.text(instruction).contains(name)) {
        return false;
    }
    let mut copied = stages.flat_map(|stage| {
        let takes = move |(_, instruction): &(usize, &Instruction)| {
            copies(instruction).is_some_and(|(sources, _)| sources.iter().any(|source| holds(source, directory)))
        };
        stage.instructions().iter().enumerate().filter(takes).map(move |(index, _)| (stage, index))
    });
    copied.all(|(stage, index)| match name {
        _ if is_cache => true,
        // It begins by removing it.
        "node_modules" => {
            let below = stage.instructions().iter().skip(index + 1);
            below.filter(|below| below.keyword == "RUN").any(|run| run.arguments.contains("npm ci"))
        }
        // Tools of many languages ask for the commit.
        _ => {
            let mut all = layout.dockerfile.stages().iter().flat_map(Stage::instructions);
            all.all(|instruction| instruction.keyword != "RUN" || commands(instruction).is_some())
        }
    })
}

/// Whether a source of a `COPY` is a directory above.
fn holds(source: &str, directory: &str) -> bool {
    let source = clean(&format!("/{source}"));
    let source = source.trim_start_matches('/');
    source.is_empty() || directory.strip_prefix(source).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::unused;
    use crate::outcome::advice::AdviceKind;
    use crate::outcome::advise::tests::Scene;
    use crate::outcome::build::{Interval, OperationKind, OperationOutcome};
    use crate::outcome::why::layout::Layout;
    use crate::project::dockerfile::Dockerfile;
    use crate::project::target::{Context, Dockerfile as Source, Target};

    #[test]
    fn what_serves_nobody() {
        let files = [
            ("src/a.js", 1),
            ("src/__pycache__/a.pyc", 10),
            ("target/CACHEDIR.TAG", 1),
            ("target/debug/app", 99),
            ("node_modules/x/index.js", 50),
            ("node_modules/x/node_modules/y.js", 5),
            ("dist/app.js", 70),
            (".git/objects/x", 60),
        ];
        let files = files.map(|(path, bytes)| (path.to_owned(), bytes));
        for (dockerfile, expected) in [
            ("COPY . .\nRUN make", &["target", "src/__pycache__"][..]),
            ("COPY . .\nRUN npm ci && npm run build", &["target", "node_modules", "src/__pycache__"]),
            ("RUN npm ci\nCOPY . .\nRUN make", &["target", "src/__pycache__"]),
            ("COPY . .\nRUN npm ci", &["target", ".git", "node_modules", "src/__pycache__"]),
            ("COPY . .\nRUN npm ci\nFROM b\nCOPY . .\nRUN make", &["target", "src/__pycache__"]),
            ("COPY . .\nRUN make target", &["src/__pycache__"]),
        ] {
            let dockerfile = Dockerfile::parse(&format!("FROM a\n{dockerfile}\n")).unwrap();
            let target = Target::new("app", Context::Local("/w".into()), Source::Inline(String::new()));
            let found = unused(&Layout { dockerfile: &dockerfile, target: &target }, &files);
            assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), expected, "{dockerfile:?}");
        }
    }

    #[test]
    fn half_of_much_has_to_be_for_nothing() {
        let mb = |megabytes: u64| megabytes * 1_000_000;
        for (cache, sources, sent, expected) in [
            (90, 30, 120, Some((mb(120), mb(30), 7_500))),
            (20, 20, 40, None),
            (50, 70, 120, None),
            // The builder had most of it.
            (90, 30, 60, None),
        ] {
            let mut scene = Scene::new("FROM a\nCOPY . .\n", &[]);
            scene.image.context_bytes = mb(sent);
            scene.image.other = vec![OperationOutcome {
                name: "[internal] load build context".to_owned(),
                kind: OperationKind::Internal,
                intervals: vec![Interval { start: Duration::ZERO, end: Duration::from_secs(10) }],
                error: None,
                critical: true,
            }];
            let files = [("a/__pycache__/x", cache), ("b", sources)];
            let advice = scene.with_context(files.map(|(path, size)| (path.to_owned(), mb(size))).to_vec()).advice();
            let found = advice.first().map(|advice| match &advice.kind {
                AdviceKind::ContextUnused { sent, used, .. } => (*sent, *used, advice.saves.as_millis()),
                _ => panic!("{advice:?}"),
            });
            assert_eq!(found, expected, "{cache} {sources} {sent}");
        }
    }
}
