//! Clears of what is at GitHub: nothing but what is named, whatever goes wrong, and a dry run reads only.

mod caches;
mod faults;
mod packages;

use std::collections::BTreeSet;

use hyper::Method;

use crate::support::github::{FakeGithub, TOKEN};
use crate::support::{Action, Engine};

/// A step that clears what is at this GitHub. There is no engine: it needs none.
fn clear(fake: &FakeGithub, scope: &str, images: &str) -> Action {
    let nowhere = Engine { name: "none".to_owned(), address: "unix:///nowhere/docker.sock".to_owned() };
    Action::new(&nowhere, &std::env::temp_dir())
        .input("mode", "clear")
        .input("scope", scope)
        .input("images", images)
        .input("github-token", TOKEN)
        .input("registry-auth", &format!("{} octo {TOKEN}", fake.registry()))
        .variable("GITHUB_API_URL", fake.url())
}

/// The methods of the requests that came.
fn methods(fake: &FakeGithub) -> BTreeSet<String> {
    fake.seen().into_iter().map(|seen| seen.method.to_string()).collect()
}

/// The last segments of the paths that were to be removed, in order.
fn removals(fake: &FakeGithub) -> Vec<u64> {
    let seen = fake.seen().into_iter().filter(|seen| seen.method == Method::DELETE);
    seen.map(|seen| seen.path.rsplit('/').next().unwrap().parse().unwrap()).collect()
}
