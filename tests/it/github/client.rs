//! The client alone: addresses, pages, limits, failures.

use std::time::{Duration, Instant};

use chrono::Utc;
use watchparty_cache::github::checks::{self, CheckOutput, Completed, Conclusion, NewCheckRun};
use watchparty_cache::github::{Access, Github, GithubError, Listed, Permission, Task, comments, commits};
use watchparty_cache::secret::Secret;

use crate::support::github::{ACTIONS, FakeGithub, Fault, Links, TOKEN};

const COMMENTS: &str = "/issues/42/comments";

fn access(url: &str, token: &str) -> Access {
    Access::new(Some(url), Some("org/watchparty"), Some(&Secret::new(token))).unwrap()
}

fn client(fake: &FakeGithub) -> Github {
    Github::new(&access(fake.url(), TOKEN)).unwrap()
}

fn check() -> NewCheckRun {
    NewCheckRun {
        name: "watchparty-cache / app".to_owned(),
        head_sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        details_url: None,
        external_id: "x".to_owned(),
        status: Completed::Completed,
        started_at: Utc::now(),
        completed_at: Utc::now(),
        conclusion: Conclusion::Success,
        output: CheckOutput { title: "t".to_owned(), summary: "s".to_owned(), text: Some("text".to_owned()) },
    }
}

#[tokio::test]
async fn a_check_run_is_created_and_found_again_at_any_address() {
    for base in ["", "/api/v3"] {
        let fake = FakeGithub::start_at(base);
        let github = Github::new(&access(&format!("{}/", fake.url()), TOKEN)).unwrap();
        let created = checks::create(&github, &check()).await.unwrap();
        let found = checks::of_commit(&github, &check().head_sha, &check().name).await.unwrap();
        assert_eq!(found, Listed { entries: vec![created.clone()], more: false, total: Some(1) });
        assert!(created.is_of_github_actions());
        assert_eq!(created.output.text.as_deref(), Some("text"));
        let other = checks::of_commit(&github, &check().head_sha, "watchparty-cache / other").await.unwrap();
        assert_eq!(other.entries, []);
    }
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let fake = FakeGithub::start_at("/api/v3");
    fake.state(|state| (0..250).for_each(|n| drop(state.add_comment(42, &n.to_string(), ACTIONS))));
    let task = Task { doing: "read comments", needs: Permission::PullRequestsRead };
    let github = client(&fake);
    let route = github.route(["issues", "42", "comments"]).with("per_page", "100");
    let all = github.list::<comments::Comment>(task, route.clone(), None, 9).await.unwrap();
    let bodies: Vec<_> = all.entries.into_iter().map(|one| one.body).collect();
    assert_eq!((bodies, all.more), ((0..250).map(|n| n.to_string()).collect(), false));
    assert!(github.list::<comments::Comment>(task, route, None, 2).await.unwrap().more);
    let last = comments::page(&github, 42, 3).await.unwrap();
    assert_eq!((last.entries.len(), last.more), (50, false));
    assert_eq!(comments::page(&github, 42, 4).await.unwrap().entries, []);
    assert_eq!(fake.count("GET", COMMENTS), 7);
    fake.state(|state| drop(state.commits.insert("feature/a b".to_owned(), vec!["c2".to_owned(), "c1".to_owned()])));
    assert_eq!(commits::newest(&client(&fake), "feature/a b", 10).await.unwrap(), ["c2", "c1"]);
    let absent = commits::newest(&client(&fake), "absent", 10).await.unwrap_err();
    assert!(matches!(absent, GithubError::NotFound { .. }), "{absent}");
}

#[tokio::test]
async fn behind_a_proxy_pages_are_counted() {
    for links in [Links::Elsewhere, Links::Nowhere] {
        let fake = FakeGithub::start_at("/api/v3");
        fake.links(links);
        fake.state(|state| (0..250).for_each(|n| drop(state.add_comment(42, &n.to_string(), "a-person"))));
        let github = client(&fake);
        let task = Task { doing: "read comments", needs: Permission::PullRequestsRead };
        let route = github.route(["issues", "42", "comments"]).with("per_page", "100");
        let all = github.list::<comments::Comment>(task, route, None, 9).await.unwrap();
        assert_eq!((all.entries.len(), all.more), (250, false), "{links:?}");
        // A comment further down is found, and there is no second one.
        for body in ["<!-- mark --> one", "<!-- mark --> two"] {
            comments::keep_one(&github, 42, "<!-- mark -->", body).await.unwrap();
        }
        let ours = fake.state(|state| state.comments[&42].iter().filter(|one| one["user"]["login"] == ACTIONS).count());
        assert_eq!((ours, fake.count("POST", COMMENTS)), (1, 1), "{links:?}");
    }
}

#[tokio::test]
async fn what_is_refused_says_what_it_needs() {
    let fake = FakeGithub::start();
    fake.permit(&["contents: read", "checks: read"]);
    let error = checks::create(&client(&fake), &check()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not create the check run: GitHub refused it (Resource not accessible by integration)"
    );
    assert_eq!(error.needs(), Some(Permission::ChecksWrite));
    assert!(error.help().contains("`permissions: checks: write`"), "{}", error.help());
    assert!(!error.is_ambiguous());
    assert_eq!(fake.count("POST", "/check-runs"), 1);

    let stranger = Github::new(&access(fake.url(), "ghs_old")).unwrap();
    let error = checks::create(&stranger, &check()).await.unwrap_err();
    assert!(matches!(error, GithubError::Unauthorized { .. }), "{error}");
    assert!(!format!("{error} {error:?} {stranger:?}").contains("ghs_old"));
}

#[tokio::test]
async fn a_rate_limit_that_ends_soon_is_waited_for() {
    for (status, header, value) in [(429, "retry-after", "1".to_owned()), (403, "retry-after", "1".to_owned())] {
        let fake = FakeGithub::start();
        let limit = || Fault::refused("POST", COMMENTS, status, "You have exceeded a secondary rate limit").times(1);
        fake.goes_wrong(limit().header(header, &value));
        let begun = Instant::now();
        comments::create(&client(&fake), 42, "a").await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(1));
        // The refused one did nothing.
        assert_eq!(fake.count("POST", COMMENTS), 2);
        assert_eq!(fake.state(|state| state.comments[&42].len()), 1);
    }
}

#[tokio::test]
async fn a_rate_limit_that_does_not_end_in_time_is_an_error_at_once() {
    let fake = FakeGithub::start();
    let reset = Utc::now().timestamp() + 1800;
    let limit = Fault::refused("GET", COMMENTS, 403, "API rate limit exceeded");
    fake.goes_wrong(limit.header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", &reset.to_string()));
    let begun = Instant::now();
    let error = comments::page(&client(&fake).within(Duration::from_secs(60)), 42, 1).await.unwrap_err();
    assert!(matches!(error, GithubError::RateLimited { until, .. } if until.timestamp() == reset), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(fake.count("GET", COMMENTS), 1);
}

#[tokio::test]
async fn reads_are_repeated_and_writes_are_not() {
    let fake = FakeGithub::start();
    fake.goes_wrong(Fault::refused("GET", COMMENTS, 502, "Bad Gateway").times(1));
    fake.goes_wrong(Fault::done_then_broken("GET", COMMENTS).times(1));
    assert_eq!(comments::page(&client(&fake), 42, 1).await.unwrap().entries, []);
    assert_eq!(fake.count("GET", COMMENTS), 3);

    for fault in [Fault::done_then("POST", COMMENTS, 502), Fault::done_then_broken("POST", COMMENTS)] {
        let fake = FakeGithub::start();
        fake.goes_wrong(fault);
        let error = comments::create(&client(&fake), 42, "a").await.unwrap_err();
        assert!(error.is_ambiguous(), "{error}");
        assert_eq!(fake.count("POST", COMMENTS), 1);
    }
}

#[tokio::test]
async fn clones_work_side_by_side() {
    let fake = FakeGithub::start();
    fake.goes_wrong(Fault::together("POST", COMMENTS, 2));
    let github = client(&fake);
    let clone = github.clone();
    let (one, two) = tokio::join!(comments::create(&github, 42, "a"), comments::create(&clone, 42, "b"));
    assert_ne!(one.unwrap().id, two.unwrap().id);
}

#[tokio::test]
async fn nothing_takes_longer_than_it_may() {
    let fake = FakeGithub::start();
    fake.goes_wrong(Fault::late("GET", COMMENTS, Duration::from_secs(60)));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for github in [client(&fake), Github::new(&access(&silent, TOKEN)).unwrap()] {
        let begun = Instant::now();
        let error = comments::page(&github.within(Duration::from_millis(500)), 42, 1).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(matches!(error, GithubError::TimedOut { .. } | GithubError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn addresses_that_are_none_are_refused() {
    for address in ["", "github", "ftp://github.com", "http://"] {
        let error = Github::new(&access(address, TOKEN)).map(|_| ()).unwrap_err();
        assert!(matches!(error, GithubError::Setup { .. }), "{address}: {error}");
    }
    let error = Github::new(&access("https://api.github.com", "two\nlines")).map(|_| ()).unwrap_err();
    assert!(matches!(error, GithubError::Setup { .. }) && !format!("{error:?}").contains("lines"), "{error:?}");
    assert!(matches!(Access::new(None, Some("a/b"), None), Err(GithubError::NoToken)));
    assert!(matches!(Access::new(None, None, Some(&Secret::new("t"))), Err(GithubError::NoRepository)));
}
