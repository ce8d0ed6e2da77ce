//! The client against registries that log in, redirect, page and answer wrongly.

use std::time::Duration;

use watchparty_cache::error::chain;
use watchparty_cache::image::ImageReference;
use watchparty_cache::registry::{Descriptor, Digest, Login, MediaType, Registry, RegistryError, Repository};
use watchparty_cache::secret::Secret;

use super::real::{MANIFEST, digest_of};
use super::stand_in::{Reply, StandIn};

const TEXT: &str = r#"{"schemaVersion":2}"#;

fn app(it: &StandIn) -> Repository {
    Repository::of(&format!("{}/app", it.host()).parse::<ImageReference>().unwrap())
}

fn login(user: &str) -> Login {
    Login { user: user.to_owned(), password: Secret::new("secret") }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn manifest() -> Reply {
    Reply::new(200, TEXT).with("content-type", MANIFEST).with("docker-content-digest", digest_of(TEXT))
}

/// A registry that wants tokens, and gives them to `user`; they are good for these actions.
fn with_tokens(actions: &'static str) -> StandIn {
    StandIn::new(move |seen| {
        let realm = format!("http://{}/token", seen.host);
        let scope = seen.line.split("scope=").nth(1).unwrap_or_default().replace("%3A", ":").replace("%2C", ",");
        if seen.line.contains(" /token") {
            let is_user = seen.authorization.as_deref() == Some("Basic dXNlcjpzZWNyZXQ=");
            let is_refreshed =
                seen.body.contains("grant_type=refresh_token&client_id=watchparty-cache&refresh_token=secret");
            return if is_user || is_refreshed {
                Reply::new(200, format!(r#"{{"access_token":"for {scope}"}}"#))
            } else {
                Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#)
            };
        }
        let challenge = format!(r#"Bearer realm="{realm}",service="tests""#);
        let token = seen.authorization.as_deref().unwrap_or_default();
        let may = if seen.line.starts_with("DELETE") { "pull,push,delete" } else { "pull" };
        if !token.starts_with("Bearer ") {
            Reply::new(401, "{}").with("www-authenticate", challenge)
        } else if !actions.contains(may) {
            Reply::new(401, "{}").with("www-authenticate", challenge + r#",error="insufficient_scope""#)
        } else if seen.line.starts_with("DELETE") {
            Reply::new(202, "")
        } else if seen.line.contains("/tags/list") {
            Reply::new(200, r#"{"tags":["a","b"]}"#)
        } else {
            manifest()
        }
    })
}

#[test]
fn tokens_are_fetched_for_what_is_done_and_used_again() {
    let it = with_tokens("pull,push,delete");
    let registry = Registry::new(it.host(), Some(login("user"))).unwrap();
    let digest: Digest = digest_of(TEXT).parse().unwrap();
    wait(async {
        assert_eq!(registry.tags(&app(&it)).await.unwrap().into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let found = Descriptor { digest: digest.clone(), media_type: Some(MediaType::OciManifest) };
        assert_eq!(registry.head(&app(&it), "a").await.unwrap(), Some(found.clone()));
        assert_eq!(registry.manifest(&app(&it), "a").await.unwrap().unwrap().descriptor, found);
        registry.delete(&app(&it), &digest).await.unwrap();
    });
    let tokens: Vec<String> = it.lines().into_iter().filter(|line| line.contains("/token")).collect();
    assert_eq!(
        tokens,
        [
            "GET /token?service=tests&scope=repository%3Aapp%3Apull",
            "GET /token?service=tests&scope=repository%3Aapp%3Apull%2Cpush%2Cdelete"
        ]
    );
}

#[test]
fn an_identity_token_is_exchanged_and_who_may_not_is_told_so() {
    let it = with_tokens("pull");
    let registry = |user: Option<&str>| Registry::new(it.host(), user.map(login)).unwrap();
    let digest: Digest = digest_of(TEXT).parse().unwrap();
    wait(async {
        let by_token = registry(Some(""));
        assert_eq!(by_token.tags(&app(&it)).await.unwrap().len(), 2);
        let denied = by_token.delete(&app(&it), &digest).await.unwrap_err();
        assert!(matches!(denied, RegistryError::Denied { .. }), "{denied:?}");
        let wrong = registry(Some("somebody")).tags(&app(&it)).await.unwrap_err();
        assert!(matches!(wrong, RegistryError::Unauthorized { given: true, .. }), "{wrong:?}");
        assert!(wrong.to_string().ends_with("it does not accept the login: incorrect username or password"), "{wrong}");
        let nobody = registry(None).tags(&app(&it)).await.unwrap_err();
        assert!(matches!(nobody, RegistryError::Unauthorized { given: false, .. }), "{nobody:?}");
    });
}

#[test]
fn credentials_go_nowhere_else() {
    let elsewhere = StandIn::new(|_| manifest());
    let location = format!("http://{}/blob", elsewhere.host());
    let it = StandIn::new(move |seen| match &seen.authorization {
        None => Reply::new(401, "{}").with("www-authenticate", "Basic realm=tests"),
        Some(_) => Reply::new(307, "").with("location", location.clone()),
    });
    let registry = Registry::new(it.host(), Some(login("user"))).unwrap();
    let digest: Digest = digest_of(TEXT).parse().unwrap();
    wait(async {
        assert!(registry.manifest(&app(&it), "a").await.unwrap().is_some());
        let error = registry.delete(&app(&it), &digest).await.unwrap_err();
        assert_eq!(chain(&error), format!("{} answers with a redirect of a deletion", it.host()));
    });
    assert!(it.seen().iter().any(|seen| seen.authorization.is_some()));
    let there = elsewhere.seen();
    assert!(there.len() == 1 && there.iter().all(|seen| seen.authorization.is_none()), "{there:?}");

    // A password does not travel unencrypted to another machine.
    let realm =
        StandIn::new(|_| Reply::new(401, "{}").with("www-authenticate", "Bearer realm=\"http://192.0.2.1/token\""));
    let registry = Registry::new(realm.host(), Some(login("user"))).unwrap();
    let error = wait(registry.tags(&app(&realm))).unwrap_err();
    assert!(chain(&error).contains("a place to log in that is no https URL"), "{error}");
}

#[test]
fn lists_of_tags_are_read_to_their_end_or_not_at_all() {
    let pages = |next: fn(usize, &str) -> Option<String>| {
        StandIn::new(move |seen| {
            let page: usize = seen.line.split("last=").nth(1).map_or(0, |last| last.parse().unwrap());
            let tags: Vec<String> = (0..100).map(|tag| format!("\"{page}-{tag}\"")).collect();
            let reply = Reply::new(200, format!(r#"{{"name":"app","tags":[{}]}}"#, tags.join(",")));
            match next(page, &seen.host) {
                Some(link) => reply.with("link", link),
                None => reply,
            }
        })
    };
    let tags = |it: &StandIn| wait(Registry::new(it.host(), None).unwrap().tags(&app(it)));

    let relative =
        |page, _: &str| (page < 3).then(|| format!("</v2/app/tags/list?n=100&last={}>; rel=\"next\"", page + 1));
    assert_eq!(tags(&pages(relative)).unwrap().len(), 400);
    let absolute = |page, host: &str| (page < 1).then(|| format!("<http://{host}/v2/app/tags/list?last=1>;rel=next"));
    assert_eq!(tags(&pages(absolute)).unwrap().len(), 200);
    for (next, what) in [
        (
            (|_, _| Some("</v2/app/tags/list?last=1>; rel=\"next\"".to_owned())) as fn(usize, &str) -> _,
            "without an end",
        ),
        (|_, _| Some("<http://192.0.2.1/v2/app/tags/list>; rel=next".to_owned()), "a link to another host"),
    ] {
        let error = tags(&pages(next)).unwrap_err();
        assert!(matches!(error, RegistryError::Malformed { .. }) && chain(&error).contains(what), "{error:?}");
    }
    let none = StandIn::new(|_| Reply::new(200, r#"{"name":"app","tags":null}"#));
    assert!(tags(&none).unwrap().is_empty());
}

#[test]
fn wrong_answers_are_told_apart() {
    let other = digest_of("other");
    let large = "x".repeat(5 << 20);
    let unsupported = r#"{"errors":[{"code":"UNSUPPORTED","message":"not here"}]}"#;
    let cases: Vec<(Reply, &str, usize)> = vec![
        (manifest().with("x", "y"), "", 1),
        (Reply::new(200, TEXT).with("docker-content-digest", other.clone()), "a manifest that is not sha256:", 1),
        (Reply::new(200, TEXT).with("docker-content-digest", "sha256:x"), "which is not a digest", 1),
        (Reply::new(200, "<html>"), "a manifest that cannot be read", 1),
        (Reply::new(200, large), "more than it may", 1),
        (Reply::new(403, unsupported), "does not allow it: not here", 1),
        (Reply::new(302, ""), "a redirect to nowhere", 1),
        (Reply::new(302, "").with("location", "/v2/again"), "too many redirects", 6),
        (Reply::new(409, "{}"), "answers 409", 1),
        (Reply::new(500, "{}"), "answers 500", 3),
        (Reply::new(429, "{}"), "was asked too often", 3),
        (Reply::new(429, "{}").with("retry-after", "60"), "answers again in 60 s", 1),
        (Reply::Cut, "reach 127.0.0.1", 3),
        (Reply::Silence, "did not answer within 1 s", 1),
    ];
    for (reply, said, requests) in cases {
        let (shown, it) = (
            format!("{reply:?}").chars().take(80).collect::<String>(),
            StandIn::new(move |seen| {
                // What finds out whether there is TLS is not what is counted.
                if seen.line.ends_with("/v2/") { Reply::new(200, "") } else { reply.clone() }
            }),
        );
        let registry = Registry::with_timeout(it.host(), None, Duration::from_secs(1)).unwrap();
        let answer = wait(registry.manifest(&app(&it), "a"));
        let text = answer.as_ref().err().map(|error| chain(error)).unwrap_or_default();
        assert!(answer.is_ok() == said.is_empty() && text.contains(said), "{shown}: {text}");
        assert_eq!(it.lines().iter().filter(|line| !line.ends_with("/v2/")).count(), requests, "{shown}");
    }
    for (status, body) in [(405, ""), (400, unsupported)] {
        let it = StandIn::new(move |_| Reply::new(status, body));
        let registry = Registry::new(it.host(), None).unwrap();
        let error = wait(registry.delete(&app(&it), &other.parse().unwrap())).unwrap_err();
        assert!(matches!(error, RegistryError::DeleteUnsupported { .. }), "{error:?}");
    }
}

#[test]
fn a_head_without_a_digest_is_asked_in_full_and_a_failure_that_passes_is_none() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let it = StandIn::new(move |seen| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::Cut,
        1 => Reply::new(503, ""),
        _ if seen.line.starts_with("HEAD") => Reply::new(200, ""),
        _ => Reply::new(200, TEXT),
    });
    let registry = Registry::new(it.host(), None).unwrap();
    let found = wait(registry.head(&app(&it), "a")).unwrap().unwrap();
    assert_eq!(found, Descriptor { digest: digest_of(TEXT).parse().unwrap(), media_type: None });
    assert_eq!(
        it.lines(),
        ["HEAD /v2/app/manifests/a"; 3].into_iter().chain(["GET /v2/app/manifests/a"]).collect::<Vec<_>>()
    );
}

#[test]
fn a_link_that_cannot_be_read_is_no_end_of_a_list() {
    for link in ["<https://[/v2/app/tags/list>; rel=\"next\"", "</v2/app/tags/list?last=b; rel=\"next\"", "next"] {
        let it = StandIn::new(move |_| Reply::new(200, r#"{"tags":["a"]}"#).with("link", link));
        let registry = Registry::new(it.host(), None).unwrap();
        let error = wait(async { registry.tags(&app(&it)).await.unwrap_err() });
        assert!(chain(&error).contains("a Link that cannot be read"), "{link}: {}", chain(&error));
    }
    // Other relations, in whatever order, and any way to write this one.
    let it = StandIn::new(|seen| {
        let first = !seen.line.contains("last=a");
        let reply = Reply::new(200, if first { r#"{"tags":["a"]}"# } else { r#"{"tags":["b"]}"# });
        let links = "</v2/app/tags/list>; rel=first, </v2/app/tags/list?last=a>; title=x; REL=next";
        if first { reply.with("link", links) } else { reply.with("link", "</v2/app/tags/list>; rel=\"first\"") }
    });
    let registry = Registry::new(it.host(), None).unwrap();
    let tags = wait(async { registry.tags(&app(&it)).await.unwrap() });
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn any_kind_of_manifest_is_asked_for() {
    // An index of a kind that nobody knows has parts that must stay.
    let child = digest_of("child");
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{"digest": child, "size": 1}]}).to_string();
    let it = StandIn::new(move |_| {
        let reply = Reply::new(200, index.clone()).with("docker-content-digest", digest_of(&index));
        reply.with("content-type", "application/vnd.example.index+json")
    });
    let registry = Registry::new(it.host(), None).unwrap();
    let manifest = wait(async { registry.manifest(&app(&it), "a").await.unwrap().unwrap() });
    assert_eq!((manifest.descriptor.media_type, manifest.children), (None, vec![child.parse().unwrap()]));
    let accept = it.seen().first().unwrap().accept.clone();
    assert!(accept.ends_with(", */*"), "{accept}");
}
