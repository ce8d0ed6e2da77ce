//! The headers of a request, as GitHub's documentation wants them ("Getting started with the REST API", "API versions").

use hyper::HeaderMap;

/// The versions of the API that GitHub supports; one that it does not know is answered with 400.
const VERSIONS: [&str; 1] = ["2022-11-28"];

/// What is wrong with them.
pub(super) fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A request without one is refused.
    if header("user-agent").is_empty() {
        return Err("no User-Agent".to_owned());
    }
    if header("accept") != "application/vnd.github+json" {
        return Err(format!("Accept: {}", header("accept")));
    }
    if !VERSIONS.contains(&header("x-github-api-version")) {
        return Err(format!("X-GitHub-Api-Version: {}", header("x-github-api-version")));
    }
    // Which token it is, is another question; never in a query, and never as a password.
    let token = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err("Authorization is no bearer token".to_owned());
    }
    for name in ["user-agent", "accept", "x-github-api-version", "authorization"] {
        if headers.get_all(name).iter().count() != 1 {
            return Err(format!("{name} stands there more than once"));
        }
    }
    let expected = if body.is_empty() { "" } else { "application/json" };
    if header("content-type") != expected {
        return Err(format!("Content-Type: {}", header("content-type")));
    }
    Ok(())
}

#[test]
fn headers_that_are_wrong_are_found() {
    let good = [
        ("user-agent", "octocrab"),
        ("accept", "application/vnd.github+json"),
        ("x-github-api-version", "2022-11-28"),
        ("authorization", "Bearer t"),
        ("content-type", "application/json"),
    ];
    let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    };
    assert_eq!(check(&headers(&good), b"{}"), Ok(()));
    assert!(check(&headers(&good), b"").is_err(), "a type of no body");
    for index in 0..good.len() {
        let mut without = good.to_vec();
        without.remove(index);
        assert!(check(&headers(&without), b"{}").is_err(), "without {}", good[index].0);
        let mut wrong = good;
        wrong[index].1 = if index == 0 { "" } else { "token t" };
        assert!(check(&headers(&wrong), b"{}").is_err(), "{:?}", wrong[index]);
    }
}
