//! A link in the documentation leads to a file and a heading that exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::{files, repository, text};

#[test]
fn links_lead_somewhere() {
    let mut pages = files("docs", ".md");
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from));
    let mut checked = 0;
    let mut broken = Vec::new();
    for page in pages {
        for link in links(&text(&page)) {
            checked += 1;
            let (path, heading) =
                link.split_once('#').map_or((link.as_str(), None), |(path, heading)| (path, Some(heading)));
            let target = if path.is_empty() { page.clone() } else { normal(&page.parent().unwrap().join(path)) };
            let leads = repository().join(&target).exists()
                && heading.is_none_or(|heading| headings(&text(&target)).contains(heading));
            if !leads {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(checked > 30, "only {checked} links were found");
}

/// The targets of inline links that stay in the repository.
fn links(markdown: &str) -> Vec<String> {
    prose(markdown)
        .flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()))
        .filter(|link| !link.contains("://"))
        .map(str::to_owned)
        .collect()
}

/// The anchors that GitHub makes: lower case, blanks as dashes, no punctuation.
fn headings(markdown: &str) -> BTreeSet<String> {
    prose(markdown)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The lines outside of code blocks.
fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    markdown.lines().filter(move |line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The path without `.` and `..`, which are taken by their names alone.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(parts.pop(), "{} leads out of the repository", path.display()),
            Component::Normal(name) => parts.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts
}
