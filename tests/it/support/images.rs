//! The images of an engine, as far as they came since a test began.

use std::collections::BTreeSet;

use super::peer::command;
use super::{Engine, docker};

/// What was there before; what came since is removed when this is dropped.
pub(crate) struct Images<'a> {
    engine: &'a Engine,
    named: BTreeSet<String>,
    dangling: BTreeSet<String>,
}

impl<'a> Images<'a> {
    pub(crate) fn since_now(engine: &'a Engine) -> Self {
        Self { engine, named: lines(engine, &NAMED), dangling: lines(engine, &DANGLING) }
    }

    /// The names of the program's own images that came since, but for marks of names: these say nothing of any image.
    pub(crate) fn ours(&self) -> BTreeSet<String> {
        let since = &lines(self.engine, &NAMED) - &self.named;
        let is_mark = |name: &str| name.starts_with("watchparty-cache/untrusted:");
        since.into_iter().filter(|name| name.starts_with("watchparty-cache/") && !is_mark(name)).collect()
    }

    /// Those of one kind: `stage`, `ledger`, `capture`, `tombstone`.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<String> {
        let repository = format!("watchparty-cache/{kind}:");
        self.ours().into_iter().filter(|name| name.starts_with(&repository)).collect()
    }

    /// The ids of images that lost their name since, or never had one.
    pub(crate) fn dangling(&self) -> BTreeSet<String> {
        &lines(self.engine, &DANGLING) - &self.dangling
    }

    /// Removes images by their names; there is nothing to do if there are none.
    pub(crate) fn remove<T: AsRef<str>>(&self, names: &[T]) {
        if !names.is_empty() {
            let names = names.iter().map(AsRef::as_ref);
            docker(self.engine, &["image", "rm", "-f"].into_iter().chain(names).collect::<Vec<_>>());
        }
    }
}

impl Drop for Images<'_> {
    fn drop(&mut self) {
        // A test that failed may have left an image in use, or have no engine: that must not hide why it failed.
        let run =
            |args: &[&str]| command(self.engine).args(args).output().map(|output| output.stdout).unwrap_or_default();
        let (named, dangling) = (names(&run(&NAMED)), names(&run(&DANGLING)));
        let rest: Vec<&String> = named.difference(&self.named).chain(dangling.difference(&self.dangling)).collect();
        if !rest.is_empty() {
            run(&["image", "rm", "-f"].into_iter().chain(rest.into_iter().map(String::as_str)).collect::<Vec<_>>());
        }
    }
}

const NAMED: [&str; 5] = ["image", "ls", "--filter=dangling=false", "--format", "{{.Repository}}:{{.Tag}}"];
const DANGLING: [&str; 5] = ["image", "ls", "--no-trunc", "--filter=dangling=true", "-q"];

fn lines(engine: &Engine, args: &[&str]) -> BTreeSet<String> {
    names(docker(engine, args).as_bytes())
}

fn names(listing: &[u8]) -> BTreeSet<String> {
    let listing = String::from_utf8_lossy(listing);
    listing.lines().filter(|line| !line.contains("<none>")).map(str::to_owned).collect()
}
