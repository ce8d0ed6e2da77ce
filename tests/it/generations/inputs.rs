//! What a build depends on, and the edits that change it from one generation to the next.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::random::Random;
use super::tree::{Entry, Kind};

/// Files of the context with what somebody works on, and those with what it depends on.
const SOURCES: [&str; 2] = ["source/main.txt", "source/lib/extra.txt"];
const DEPENDENCIES: [&str; 2] = ["alpha.txt", "beta.txt"];
const MODES: [u32; 3] = [0o644, 0o755, 0o600];

/// Everything that a build depends on besides the shape of its Dockerfile: numbers of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inputs {
    /// Makes what this test builds different from what any other test builds.
    pub(super) salt: String,
    /// Version and mode of each file of the context.
    files: BTreeMap<&'static str, (u32, u32)>,
    /// The version of a file that `.dockerignore` names.
    ignored: u32,
    pub(super) base: Base,
    pub(super) argument: u32,
    pub(super) commit: u32,
    pub(super) instruction: u32,
}

/// The version of the base image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Base {
    /// Of its file and its environment.
    pub(super) content: u32,
    /// Of its label alone.
    pub(super) label: u32,
}

/// What is done between two builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    Nothing,
    Source,
    Dependency,
    Mode,
    Ignored,
    Argument,
    Commit,
    Instruction,
    BaseContent,
    BaseLabel,
    /// Everything as it was at an earlier generation.
    Revert,
}

impl Edit {
    pub(super) const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Source,
        Self::Dependency,
        Self::Mode,
        Self::Ignored,
        Self::Argument,
        Self::Commit,
        Self::Instruction,
        Self::BaseContent,
        Self::BaseLabel,
        Self::Revert,
    ];
}

impl Inputs {
    pub(super) fn new(salt: &str) -> Self {
        Self {
            salt: salt.to_owned(),
            files: SOURCES.iter().chain(&DEPENDENCIES).map(|path| (*path, (0, 0o644))).collect(),
            ignored: 0,
            base: Base { content: 0, label: 0 },
            argument: 0,
            commit: 0,
            instruction: 0,
        }
    }

    /// Makes the edit and tells it; `version` is one that was never used before.
    pub(super) fn edit(&mut self, edit: Edit, version: u32, earlier: &[Self], random: &mut Random) -> String {
        match edit {
            Edit::Nothing => return "nothing changed".to_owned(),
            Edit::Source => return self.write_file(random.pick(&SOURCES), version),
            Edit::Dependency => return self.write_file(random.pick(&DEPENDENCIES), version),
            Edit::Mode => {
                let path = random.pick(&[SOURCES, DEPENDENCIES].concat());
                let mode = &mut self.files.get_mut(path).unwrap().1;
                let others: Vec<u32> = MODES.into_iter().filter(|other| other != mode).collect();
                *mode = random.pick(&others);
                return format!("mode of {path}: {mode:o}");
            }
            Edit::Ignored => self.ignored = version,
            Edit::Argument => self.argument = version,
            Edit::Commit => self.commit = version,
            Edit::Instruction => self.instruction = version,
            Edit::BaseContent => self.base.content = version,
            Edit::BaseLabel => self.base.label = version,
            Edit::Revert => {
                let Some(last) = earlier.len().checked_sub(1) else { return "nothing to revert to".to_owned() };
                // Mostly the one before the last: back and forth is what branches do.
                let generation = if random.once_in(2) { last.saturating_sub(1) } else { random.below(earlier.len()) };
                *self = earlier[generation].clone();
                return format!("reverted to generation {generation}");
            }
        }
        format!("{edit:?}: version {version}")
    }

    fn write_file(&mut self, path: &'static str, version: u32) -> String {
        self.files.get_mut(path).unwrap().0 = version;
        format!("{path}: version {version}")
    }

    /// The value of the build argument `FLAVOR`.
    pub(super) fn flavor(&self) -> String {
        format!("flavor-{}", self.argument)
    }

    pub(super) fn commit(&self) -> String {
        format!("{:040x}", self.commit)
    }

    /// The context below a path: what `COPY` of it copies, by path relative to it (empty for the path itself).
    pub(super) fn context(&self, path: &str) -> Vec<(String, Entry)> {
        let file = |path: &str, (version, mode): (u32, u32)| {
            Entry::new(Kind::File(self.content(path, version).into_bytes().into()), mode)
        };
        if let Some((name, versions)) = self.files.get_key_value(path) {
            return vec![(String::new(), file(name, *versions))];
        }
        assert_eq!(path, "source", "the context has no such path");
        let mut entries = vec![
            ("lib".to_owned(), Entry::new(Kind::Directory, 0o755)),
            ("link".to_owned(), Entry::new(Kind::Link("main.txt".to_owned()), 0o777)),
        ];
        entries.extend(
            self.files
                .iter()
                .filter_map(|(path, versions)| Some((path.strip_prefix("source/")?.to_owned(), file(path, *versions)))),
        );
        entries.sort_by(|left, right| left.0.cmp(&right.0));
        entries
    }

    /// Writes the context's files anew: their times change with every generation, which nothing may depend on.
    pub(super) fn write_to(&self, directory: &Path) {
        let write = |path: &str, content: &str, mode: u32| {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        };
        for (path, (version, mode)) in &self.files {
            write(path, &self.content(path, *version), *mode);
        }
        write("source/ignored.log", &self.ignored.to_string(), 0o644);
        write(".dockerignore", "**/*.log\n", 0o644);
        for path in ["source", "source/lib"] {
            std::fs::set_permissions(directory.join(path), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let link = directory.join("source/link");
        if link.symlink_metadata().is_err() {
            symlink("main.txt", link).unwrap();
        }
    }

    fn content(&self, path: &str, version: u32) -> String {
        format!("{path} {version} of {}\n", self.salt)
    }
}
