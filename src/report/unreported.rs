//! The one line that says what GitHub could not be told, and what would have to be permitted.

use std::collections::BTreeSet;

use crate::error::chain;
use crate::github::GithubError;

/// Something that could not be done at GitHub.
#[derive(Debug)]
pub struct Unreported {
    /// What was not done: `the check run could not be made`.
    pub what: &'static str,
    /// Why.
    pub error: GithubError,
}

/// Said where there is no way to GitHub, and perhaps one through a proxy.
const PROXY: &str = "the runner has a proxy (`HTTPS_PROXY`), and this program connects to GitHub directly: allow that, or \
                     leave it out with `report: summary`";

/// One line on all of it; none if all was done. `proxied` says that the runner reaches GitHub through a proxy.
pub fn line(all: &[Unreported], proxied: bool) -> Option<String> {
    let lost = |one: &Unreported| matches!(one.error, GithubError::Unreachable { .. } | GithubError::TimedOut { .. });
    let proxy = proxied && all.iter().any(lost);
    let line = without_proxy(all)?;
    Some(if proxy { format!("{line}; {PROXY}") } else { line })
}

fn without_proxy(all: &[Unreported]) -> Option<String> {
    let (first, rest) = all.split_first()?;
    let alike = rest.iter().all(|other| reason(&other.error) == reason(&first.error));
    if alike {
        let what: Vec<&str> = all.iter().map(|one| one.what).collect();
        let needs: BTreeSet<String> =
            all.iter().filter_map(|one| one.error.needs()).map(|permission| permission.to_string()).collect();
        let help = if needs.is_empty() { first.error.help() } else { permissions(&needs, &first.error) };
        return Some(sentence(&what.join(" and "), &reason(&first.error), &help));
    }
    let each: Vec<String> = all.iter().map(|one| sentence(one.what, &reason(&one.error), &one.error.help())).collect();
    Some(each.join("; "))
}

fn sentence(what: &str, why: &str, help: &str) -> String {
    let help = if help.is_empty() { String::new() } else { format!("; {help}") };
    format!("{what}: {why}{help}")
}

fn permissions(needs: &BTreeSet<String>, error: &GithubError) -> String {
    let list = needs.iter().cloned().collect::<Vec<_>>().join(", ");
    let one = error.needs().map(|permission| permission.to_string()).unwrap_or_default();
    error.help().replace(&format!("permissions: {one}"), &format!("permissions: {list}"))
}

/// The error without what was being done, which the line says already.
fn reason(error: &GithubError) -> String {
    let text = chain(error);
    match text.strip_prefix("could not ").and_then(|rest| rest.split_once(": ")) {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{PROXY, Unreported, line};
    use crate::github::{GithubError, Permission};

    fn forbidden(what: &'static str, needs: Permission) -> Unreported {
        let message = "Resource not accessible by integration".to_owned();
        Unreported { what, error: GithubError::Forbidden { doing: "do it", needs, message } }
    }

    #[test]
    fn one_line_says_it_all() {
        let check = || forbidden("the check run could not be made", Permission::ChecksWrite);
        let comment = || forbidden("the comment could not be written", Permission::PullRequestsWrite);
        let server = Unreported {
            what: "the comment could not be written",
            error: GithubError::Server { doing: "do it", status: 502 },
        };
        let token = |what| Unreported { what, error: GithubError::NoToken };
        let refused = "GitHub refused it (Resource not accessible by integration); it needs `permissions:";
        let whatever = "a pull request from a fork has a read-only token whatever the workflow says";
        for (all, expected) in [
            (vec![], None),
            (vec![check()], Some(format!("the check run could not be made: {refused} checks: write`; {whatever}"))),
            (
                vec![check(), comment()],
                Some(format!(
                    "the check run could not be made and the comment could not be written: {refused} checks: write, pull-requests: write`; {whatever}"
                )),
            ),
            (
                vec![check(), server],
                Some(format!(
                    "the check run could not be made: {refused} checks: write`; {whatever}; the comment could not be written: GitHub failed with status 502; the next run will try again; see whether GitHub has an outage"
                )),
            ),
            (
                vec![token("nothing could be reported to GitHub")],
                Some("nothing could be reported to GitHub: there is no token; leave `github-token` unset: the job's own token is its default".to_owned()),
            ),
        ] {
            assert_eq!(line(&all, true), expected);
        }
        let lost = || vec![Unreported { what: "it was not made", error: GithubError::TimedOut { doing: "do it" } }];
        let direct = line(&lost(), false).unwrap();
        assert!(direct.ends_with("see whether GitHub has an outage"), "{direct}");
        assert_eq!(line(&lost(), true).unwrap(), format!("{direct}; {PROXY}"));
    }
}
