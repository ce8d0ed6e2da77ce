//! Ledgers in the engine: written, read, replaced by several at once, and what else may have their names.

use std::time::Instant;

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use watchparty_cache::address::Address;
use watchparty_cache::cache::ledger::{
    Build, BuildKind, BuildRecord, CachedImage, Identity, Ledger, LedgerKey, LedgerLabel, Refusal, Role, Salt, Scope,
    Subject,
};
use watchparty_cache::cache::records::Records;
use watchparty_cache::engine::{Engine, FoundLedger, LedgerContent, Parents};

use crate::support::{Engine as TestEngine, docker, on_every_engine, unique};

fn connected<F: Future<Output = ()>>(place: &TestEngine, body: impl FnOnce(Engine) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let address = Address::parse(&place.address, None).unwrap();
    runtime.block_on(async { body(Engine::connect(&address).await.unwrap()).await });
}

/// A key that no other test has.
fn key() -> LedgerKey {
    let scope = Scope::Trusted { repository: "o/r".into(), reference: "refs/heads/main".into() };
    LedgerKey { scope, identity: Identity { subject: Subject::Key(unique("ledger")), target: None } }
}

/// A ledger whose evidence has about so many bytes.
fn ledger(key: &LedgerKey, previous: Option<&Ledger>, bytes: usize) -> Ledger {
    let at = Utc::now() - TimeDelta::minutes(5);
    let record = BuildRecord {
        run: None,
        at,
        commit: Some("c0ffee".into()),
        seconds: 1.5,
        run_seconds: Some(2.5),
        cached: 1,
        total: 2,
        kind: BuildKind::Warm,
        image_bytes: None,
        cache_times: None,
    };
    let id = format!("sha256:{}", "0123456789abcdef".repeat(4)).parse().unwrap();
    let image = CachedImage { role: Role::Final, reference: "app:1".into(), id, records: Records::default() };
    let build = Build {
        event: Some("push".into()),
        run_url: None,
        images: vec![image],
        earlier: vec![],
        superseded: vec![],
        steps: vec![],
        // What JSON and HTML escape, and what is no ASCII.
        evidence: serde_json::json!(vec!["\"<&>\\\u{1F600}' \n"; bytes / 16]),
        salt: Salt::keep(previous),
        record,
    };
    Ledger::successor(previous, key.clone(), build)
}

async fn write(engine: &Engine, ledger: &Ledger, predecessor: Option<&str>) {
    let (document, label) = (ledger.encode().unwrap(), ledger.label().encode().unwrap());
    engine.write_ledger(&ledger.key.name(), &label, &document, ledger.written_at).await.unwrap();
    engine.remove_replaced_ledgers(predecessor.as_slice()).await.unwrap();
}

async fn read(engine: &Engine, key: &LedgerKey) -> (String, Ledger) {
    let found: FoundLedger = engine.read_ledger(&key.name()).await.unwrap().unwrap();
    (found.id.unwrap(), Ledger::open(&found.content, key).unwrap())
}

/// Images of ours without a name, whoever left them.
fn nameless(place: &TestEngine) -> Vec<String> {
    let filters = ["--filter", "dangling=true", "--filter", "label=watchparty-cache.ledger"];
    let list = docker(place, &[["image", "ls", "-q", "--no-trunc"].as_slice(), &filters].concat());
    list.lines().map(str::to_owned).collect()
}

on_every_engine!(is_read_back_and_replaced, |place| {
    connected(place, async |engine: Engine| {
        let key = key();
        assert_eq!(engine.read_ledger(&key.name()).await.unwrap(), None);
        let first = ledger(&key, None, 10_000);
        write(&engine, &first, None).await;
        let (first_id, found) = read(&engine, &key).await;
        assert_eq!(found, first);

        let second = ledger(&key, Some(&first), 500_000);
        let started = Instant::now();
        write(&engine, &second, Some(&first_id)).await;
        // The wait is for other writers only.
        assert!(started.elapsed().as_millis() < 10_000);
        let (second_id, found) = read(&engine, &key).await;
        assert_eq!((&found.salt, found.history.len()), (&first.salt, 2));
        assert_eq!(found, second);
        assert_ne!(second_id, first_id);
        assert_eq!(engine.inspect_image(&first_id).await.unwrap(), None);

        // The same once more is the same image: it is not its own predecessor.
        write(&engine, &second, Some(&second_id)).await;
        assert_eq!(read(&engine, &key).await, (second_id.clone(), second));

        // A person sees when it was written.
        let format = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.CreatedSince}} {{.Size}}"];
        let listed = docker(place, &format);
        let line = listed.lines().find(|line| line.starts_with(&key.name())).unwrap();
        assert!(line.contains("5 minutes ago") && line.ends_with('B'), "{line}");
        engine.remove_image(&second_id, Parents::Remove).await.unwrap();
    });
});

on_every_engine!(a_predecessor_with_another_name_stays, |place| {
    connected(place, async |engine: Engine| {
        let (key, other) = (key(), unique("kept") + ":1");
        let first = ledger(&key, None, 100);
        write(&engine, &first, None).await;
        let (first_id, _) = read(&engine, &key).await;
        engine.tag_image(&first_id, &other.parse().unwrap()).await.unwrap();
        write(&engine, &ledger(&key, Some(&first), 200), Some(&first_id)).await;
        assert_eq!(engine.inspect_image(&other).await.unwrap().unwrap().id, first_id);
        docker(place, &["image", "rm", &other, &key.name()]);
    });
});

on_every_engine!(the_largest_document_is_read, |place| {
    connected(place, async |engine: Engine| {
        let key = key();
        let mut large = ledger(&key, None, 100);
        large.evidence = serde_json::Value::Null;
        large.run_url = Some("\"<&>\u{1F600}\n".repeat(350_000));
        let bytes = large.encode().unwrap().len();
        assert!((3_000_000..watchparty_cache::cache::ledger::MAX_DOCUMENT).contains(&bytes), "{bytes}");
        write(&engine, &large, None).await;
        assert_eq!(read(&engine, &key).await.1, large);

        // Docker 28 writes six characters for each of these: more than is taken over the wire.
        let label = large.label().encode().unwrap();
        engine.write_ledger(&key.name(), &label, &"<".repeat(5 << 20), Utc::now()).await.unwrap();
        let found = engine.read_ledger(&key.name()).await.unwrap().unwrap();
        assert_eq!(Ledger::open(&found.content, &key), Err(Refusal::TooLarge));
        docker(place, &["image", "rm", &key.name()]);
    });
});

on_every_engine!(of_several_writers_one_wins_and_nothing_is_left_over, |place| {
    connected(place, async |engine: Engine| {
        let key = key();
        let first = ledger(&key, None, 100);
        write(&engine, &first, None).await;
        let (first_id, _) = read(&engine, &key).await;

        let writers: Vec<_> = (1..=8).map(|number| ledger(&key, Some(&first), number * 1_000)).collect();
        let reader = async {
            for _ in 0..20 {
                let (_, found) = read(&engine, &key).await;
                assert!(found == first || writers.contains(&found));
            }
        };
        let writing = join_all(writers.iter().map(|ledger| write(&engine, ledger, Some(&first_id))));
        tokio::join!(writing, reader);
        let (id, found) = read(&engine, &key).await;
        assert!(writers.contains(&found), "{found:?}");
        assert_eq!(nameless(place), Vec::<String>::new());
        engine.remove_image(&id, Parents::Remove).await.unwrap();
    });
});

on_every_engine!(what_is_no_ledger_is_told_apart, |place| {
    connected(place, async |engine: Engine| {
        // Somebody else's image under the name; replaced like any other, and not removed.
        let key = key();
        docker(place, &["tag", "busybox:1.36", &key.name()]);
        let found = engine.read_ledger(&key.name()).await.unwrap().unwrap();
        assert_eq!(found.content, LedgerContent::Foreign);
        assert_eq!(Ledger::open(&found.content, &key), Err(Refusal::Foreign));
        let listed = engine.ledgers().await.unwrap().into_iter().find(|listed| listed.name == key.name()).unwrap();
        assert_eq!((Some(listed.id), listed.label), (found.id.clone(), None));
        let ours = ledger(&key, None, 100);
        write(&engine, &ours, found.id.as_deref()).await;
        assert_eq!(read(&engine, &key).await.1, ours);
        assert!(engine.inspect_image("busybox:1.36").await.unwrap().is_some());

        // A document that was cut short, and one that belongs elsewhere.
        let (document, label) = (ours.encode().unwrap(), ours.label().encode().unwrap());
        let cut = document.get(..document.len() / 2).unwrap();
        engine.write_ledger(&key.name(), &label, cut, Utc::now()).await.unwrap();
        let found = engine.read_ledger(&key.name()).await.unwrap().unwrap();
        assert!(matches!(Ledger::open(&found.content, &key), Err(Refusal::Unreadable(_))), "{found:?}");
        let pull = Scope::Untrusted { repository: Some("o/r".into()), reference: "pull/42".into() };
        let forged = ledger(&LedgerKey { scope: pull, ..key.clone() }, None, 100);
        engine.write_ledger(&key.name(), &label, &forged.encode().unwrap(), Utc::now()).await.unwrap();
        let found = engine.read_ledger(&key.name()).await.unwrap().unwrap();
        assert_eq!(Ledger::open(&found.content, &key), Err(Refusal::OtherKey));
        docker(place, &["image", "rm", &key.name()]);
    });
});

on_every_engine!(a_dockerfile_cannot_forge_one_under_a_name_of_its_own, |place| {
    connected(place, async |engine: Engine| {
        let (key, tag) = (key(), unique("forged") + ":1");
        let label = ledger(&key, None, 100).label().encode().unwrap();
        let container = unique("forge");
        docker(place, &["create", "--name", &container, "busybox:1.36", "true"]);
        let change = format!("LABEL watchparty-cache.ledger='{label}'");
        docker(place, &["commit", "--author", "{}", "--change", &change, &container, &tag]);
        assert!(engine.ledgers().await.unwrap().iter().all(|listed| listed.name != tag && listed.name != key.name()));
        assert_eq!(engine.read_ledger(&key.name()).await.unwrap(), None);
        docker(place, &["rm", &container]);
        docker(place, &["image", "rm", &tag]);
    });
});

on_every_engine!(are_listed_with_their_labels, |place| {
    connected(place, async |engine: Engine| {
        let all: Vec<_> = (0..3).map(|_| ledger(&key(), None, 100)).collect();
        for ledger in &all {
            write(&engine, ledger, None).await;
        }
        let listed = engine.ledgers().await.unwrap();
        for ledger in &all {
            let found = listed.iter().find(|listed| listed.name == ledger.key.name()).unwrap();
            let label = LedgerLabel::read(&found.name, found.label.as_deref().unwrap()).unwrap();
            assert_eq!(label, ledger.label());
            assert_eq!(found.created.map(|at| at.timestamp()), Some(ledger.written_at.timestamp()));
            assert_eq!(found.id, read(&engine, &ledger.key).await.0);
            docker(place, &["image", "rm", &found.name]);
        }
    });
});
