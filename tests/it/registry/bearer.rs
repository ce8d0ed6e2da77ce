//! A clear of a registry that gives tokens, as most that are not one's own do.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::clear;
use super::real::{MANIFEST, digest_of};
use super::stand_in::{Reply, StandIn};

/// A registry that wants a token for each thing that is done, and gives it to `user` alone.
fn registry(tags: &Arc<Mutex<Vec<&'static str>>>) -> StandIn {
    let tags = Arc::clone(tags);
    StandIn::new(move |seen| {
        if seen.line.contains(" /token") {
            let scope = seen.line.split("scope=").nth(1).unwrap_or_default().replace("%3A", ":").replace("%2C", ",");
            return match seen.authorization.as_deref() {
                Some("Basic dXNlcjpzZWNyZXQ=") => Reply::new(200, format!(r#"{{"token":"for {scope}"}}"#)),
                _ => Reply::new(401, "{}"),
            };
        }
        let needed =
            if seen.line.starts_with("DELETE") { "Bearer for repository:app:pull,push,delete" } else { "pull" };
        let token = seen.authorization.as_deref().unwrap_or_default();
        if !token.starts_with("Bearer for repository:app:") || !token.contains(needed) {
            let challenge = format!(r#"Bearer realm="http://{}/token",service="tests""#, seen.host);
            return Reply::new(401, "{}").with("www-authenticate", challenge);
        }
        let mut tags = tags.lock().unwrap();
        let reference = seen.line.rsplit('/').next().unwrap();
        if seen.line.contains("/tags/list") {
            return Reply::new(200, serde_json::json!({"tags": *tags}).to_string());
        }
        let before = tags.len();
        if seen.line.starts_with("DELETE") {
            tags.retain(|tag| digest_of(tag) != reference);
            return Reply::new(if tags.len() < before { 202 } else { 404 }, "");
        }
        match tags.iter().find(|tag| **tag == reference) {
            Some(tag) => {
                Reply::new(200, "").with("content-type", MANIFEST).with("docker-content-digest", digest_of(tag))
            }
            None => Reply::new(404, ""),
        }
    })
}

#[test]
fn a_registry_with_tokens_is_cleared_by_who_may_and_by_nobody_else() {
    let tags = Arc::new(Mutex::new(vec!["main", "main-cache", "main-pr-7-cache", "other-cache"]));
    let it = registry(&tags);
    let step = |password: &str| {
        let login = format!("{} user {password}", it.host());
        let step = clear(Path::new("/")).input("cache-to", &format!("{}/app:main", it.host()));
        step.input("registry-auth", &login)
    };
    let refused = step("wrong").run().expect_code(4);
    assert_eq!((tags.lock().unwrap().len(), refused.output("verified")), (4, "false"));
    let run = step("secret").run().expect_code(0);
    assert_eq!(run.output("verified"), "true", "{}", run.stdout);
    assert_eq!(*tags.lock().unwrap(), ["main", "other-cache"]);
    assert!(!run.stdout.replace("::add-mask::secret", "").contains("secret"), "{}", run.stdout);
}
