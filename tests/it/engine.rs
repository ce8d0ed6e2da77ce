//! The engine API on its own: images, containers, marks, the classic builder, and a clear from survey to proof.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use watchparty_cache::address::Address;
use watchparty_cache::buildkit::usage;
use watchparty_cache::buildkit::{Connection, Transport};
use watchparty_cache::engine::{
    ClassicBuild, ClassicEvent, Engine, EngineInfo, FoundTombstone, Image, ImageStore, Mark, Parents, Tombstone,
};
use watchparty_cache::execute::clear::{BuilderCache, BuilderError, Clear, dry_run};
use watchparty_cache::inputs::ClearScope;
use watchparty_cache::outcome::clear::{ClearOutcome, Fate, Place};
use watchparty_cache::plan::clear::{ClearRequest, ProjectImages, plan};
use watchparty_cache::survey::clear::ClearSurvey;

use crate::support::{Engine as TestEngine, docker, on_every_engine, unique};

/// The test's body with a connected client.
fn connected<F: Future<Output = ()>>(place: &TestEngine, body: impl FnOnce(Engine) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { body(connect(place).await).await });
}

async fn connect(place: &TestEngine) -> Engine {
    Engine::connect(&Address::parse(&place.address, None).unwrap()).await.unwrap()
}

/// A context archive, cut into pieces.
fn context(files: &[(&str, Vec<u8>)]) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, Cursor::new(content)).unwrap();
    }
    let pieces: Vec<_> = archive.into_inner().unwrap().chunks(10_000).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(pieces)
}

fn dockerfile(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![("Dockerfile", text.as_bytes().to_vec())]
}

async fn build(engine: &Engine, build: &ClassicBuild, files: &[(&str, Vec<u8>)]) -> Vec<ClassicEvent> {
    engine.build_classic(build, context(files)).try_collect().await.unwrap()
}

fn tagged(tag: &str) -> ClassicBuild {
    ClassicBuild { tags: vec![tag.parse().unwrap()], ..ClassicBuild::default() }
}

fn cached(events: &[ClassicEvent]) -> usize {
    events.iter().filter(|event| **event == ClassicEvent::Cached).count()
}

on_every_engine!(says_what_it_is, |place| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = Instant::now();
    let engine = runtime.block_on(connect(place));
    // Milliseconds on an idle machine; the bound only tells a wait from work.
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    let info: &EngineInfo = engine.info();
    assert!(docker(place, &["version", "--format", "{{.Server.Version}}"]).starts_with(&info.version));
    assert_eq!(docker(place, &["version", "--format", "{{.Server.APIVersion}}"]), info.api_version.to_string());
    assert_eq!(info.store == ImageStore::Containerd, place.has_containerd_store());
    assert_eq!(info.platform, docker(place, &["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"]));
    assert!(info.has_buildkit && !info.rootless && info.data_root.is_some());
});

on_every_engine!(lists_tags_inspects_and_removes_images, |place| {
    connected(place, async |engine: Engine| {
        let (first, second) = (unique("img") + ":1", unique("img") + ":2");
        let text = "FROM busybox:1.36\nLABEL team=blue\nCOPY Dockerfile /\n";
        build(&engine, &tagged(&first), &dockerfile(text)).await;
        let built = engine.inspect_image(&first).await.unwrap().unwrap();
        assert_eq!(built.layers.len(), 2);
        assert_eq!(built.labels.get("team").map(String::as_str), Some("blue"));

        engine.tag_image(&first, &second.parse().unwrap()).await.unwrap();
        let listed = engine.images().await.unwrap().into_iter().find(|image| image.tags.contains(&first)).unwrap();
        assert_eq!(listed.id, built.id);
        assert!(listed.tags.contains(&second) && listed.size > 1_000_000 && listed.labels.contains_key("team"));
        assert!((Utc::now() - listed.created.unwrap()).num_minutes() < 10);
        let usage = engine.image_usage().await.unwrap();
        let measured = usage.images.iter().find(|image| image.id == built.id).unwrap();
        let shared = measured.shared_size.unwrap();
        assert!(shared > 1_000_000 && shared < measured.size, "{measured:?}");
        assert!(usage.layers_size >= measured.size, "{} {measured:?}", usage.layers_size);

        let untagged = engine.remove_image(&first, Parents::Remove).await.unwrap();
        assert_eq!((untagged.untagged.as_slice(), untagged.deleted.len()), ([first.clone()].as_slice(), 0));
        let removed = engine.remove_image(&second, Parents::Remove).await.unwrap();
        assert!(removed.untagged.contains(&second) && removed.deleted.contains(&built.id), "{removed:?}");
        assert_eq!(engine.inspect_image(&built.id).await.unwrap(), None);
        assert!(engine.remove_image(&second, Parents::Remove).await.unwrap_err().is_not_found());
    });
});

on_every_engine!(sees_containers_with_their_images_and_mounts, |place| {
    let name = unique("container");
    docker(place, &["create", "--name", &name, "-v", "/tmp:/github/workspace", "busybox:1.36", "true"]);
    connected(place, async |engine: Engine| {
        let all = engine.containers().await.unwrap();
        let listed = all.into_iter().find(|container| container.name == name).unwrap();
        let images = engine.images().await.unwrap();
        let image = images.iter().find(|image| image.id == listed.image_id).unwrap();
        assert!(image.tags.contains(&listed.image), "{image:?} {listed:?}");
        let looked_at = engine.container(&name).await.unwrap().unwrap();
        assert_eq!((&looked_at.id, &looked_at.name, &looked_at.image_id), (&listed.id, &name, &image.id));
        assert_eq!(looked_at.host_path("/github/workspace/a".as_ref()), Some("/tmp/a".into()));
        assert_eq!(engine.container("no-such-container").await.unwrap(), None);
        // The test itself runs beside the engine and not in it.
        assert_eq!(engine.own_container().await.unwrap(), None);
        let refused = engine.remove_image(&listed.image_id, Parents::Remove).await.unwrap_err();
        assert!(refused.to_string().contains("remove image") && !refused.is_not_found(), "{refused}");
    });
    docker(place, &["rm", &name]);
});

on_every_engine!(marks_survive_and_leave_nothing_behind, |place| {
    connected(place, async |engine: Engine| {
        // Everything that a Dockerfile's parser could trip over.
        let mark = |at: i64| Tombstone {
            repository: unique("mark"),
            cleared_at: DateTime::from_timestamp(at, 0).unwrap(),
            run_url: Some(r#"https://x/'$HOME'/"${PATH}"/\n\\?a=b&c=%20#ü "#.to_owned()),
            builder_cleared: true,
        };
        let first = mark(1_800_000_000);
        assert_eq!(engine.tombstone(&first.repository).await.unwrap(), None);
        let name = Tombstone::name_for(&first.repository);
        engine.remove_tombstone(&name).await.unwrap();
        let id = engine.write_tombstone(&first).await.unwrap().id;
        let found = FoundTombstone { id: id.clone(), mark: Mark::Known(first.clone()) };
        assert_eq!(engine.tombstone(&first.repository).await.unwrap(), Some(found));

        let second = Tombstone { builder_cleared: false, run_url: None, ..first.clone() };
        let second_id = engine.write_tombstone(&second).await.unwrap().id;
        engine.remove_nameless_tombstones(&[id.clone()].into()).await.unwrap();
        // Who saw the first one takes nothing away.
        engine.remove_tombstone(&id).await.unwrap();
        assert_eq!(engine.tombstone(&first.repository).await.unwrap().map(|found| found.id), Some(second_id));
        let found: Vec<_> = engine.images().await.unwrap().iter().filter_map(Image::tombstone).collect();
        assert!(found.contains(&Mark::Known(second.clone())), "{found:?}");
        let dangling = docker(
            place,
            &["images", "-q", "--filter", "dangling=true", "--filter", "label=watchparty-cache.tombstone"],
        );
        assert_eq!(dangling, "", "the first mark stayed behind");

        docker(place, &["tag", "busybox:1.36", &name]);
        let found = engine.tombstone(&first.repository).await.unwrap();
        assert_eq!(found.map(|found| found.mark), Some(Mark::Unknown));
        engine.remove_tombstone(&name).await.unwrap();
        assert_eq!(engine.tombstone(&first.repository).await.unwrap(), None);
        docker(place, &["image", "prune", "-f", "--filter", "label=watchparty-cache.tombstone"]);
        assert!(!docker(place, &["images", "-q", "busybox:1.36"]).is_empty());
    });
});

on_every_engine!(the_classic_builder_builds_and_takes_an_image_as_its_cache, |place| {
    connected(place, async |engine: Engine| {
        let (first, second) = (unique("classic"), unique("classic"));
        let text = format!(
            "FROM busybox:1.36\nLABEL test={first}\nARG WHO\nRUN echo {first} $WHO && ulimit -n && df -k /dev/shm | tail -n1 && cat /etc/hosts\n\
             COPY big /\n"
        );
        let mut files = dockerfile(&text);
        files.push(("big", vec![7; 3_000_000]));
        let options = ClassicBuild {
            tags: vec![first.parse().unwrap(), second.parse().unwrap()],
            build_args: BTreeMap::from([("WHO".into(), "you & \"me\" ü".into())]),
            labels: BTreeMap::from([("built".into(), "yes".into())]),
            network: Some("none".into()),
            shm_size: Some(32 << 20),
            extra_hosts: vec![("registry.test".into(), "10.9.8.7".into())],
            ulimits: vec!["nofile=1234:2345".into()],
            ..ClassicBuild::default()
        };
        let events = build(&engine, &options, &files).await;
        let steps: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                ClassicEvent::Step { number, of, .. } => Some((*number, *of)),
                _ => None,
            })
            .collect();
        // One step more than the Dockerfile has: labels of the request are a LABEL of their own.
        assert_eq!(steps, [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]);
        assert_eq!(cached(&events), 0);
        let log = |wanted: &str| {
            events.iter().any(|event| matches!(event, ClassicEvent::Log { line } if line.contains(wanted)))
        };
        assert!(log(&format!("{first} you & \"me\" ü")), "{events:#?}");
        assert!(log("1234"), "{events:#?}");
        assert!(log("32768"), "{events:#?}");
        if place.is_20_10() {
            assert!(log("10.9.8.7"), "{events:#?}");
        }
        let Some(ClassicEvent::Image { id }) = events.last() else { panic!("{events:#?}") };
        for tag in [&first, &second] {
            assert_eq!(engine.inspect_image(tag).await.unwrap().unwrap().id, *id);
        }
        assert_eq!(
            engine.inspect_image(id).await.unwrap().unwrap().labels.get("built").map(String::as_str),
            Some("yes")
        );

        let from_itself = ClassicBuild { cache_from: vec![first.clone()], ..options.clone() };
        assert_eq!(cached(&build(&engine, &from_itself, &files).await), 5);
        let no_cache = ClassicBuild { no_cache: true, ..from_itself };
        assert_eq!(cached(&build(&engine, &no_cache, &files).await), 0);
        for tag in [&first, &second] {
            engine.remove_image(tag, Parents::Remove).await.unwrap();
        }
        docker(place, &["image", "prune", "-f", "--filter", &format!("label=test={first}")]);
    });
});

on_every_engine!(the_classic_builder_says_how_it_failed, |place| {
    connected(place, async |engine: Engine| {
        let text = format!("FROM busybox:1.36\nRUN echo {} && exit 3\n", unique("fail"));
        let events = build(&engine, &tagged(&unique("fails")), &dockerfile(&text)).await;
        let Some(ClassicEvent::Failed { message, code: Some(3) }) = events.last() else { panic!("{events:#?}") };
        assert!(message.contains("returned a non-zero code: 3"), "{message}");

        let mut broken = Box::pin(engine.build_classic(&tagged(&unique("fails")), context(&dockerfile("NONSENSE\n"))));
        let first = broken.next().await.unwrap();
        let said = match first {
            Ok(ClassicEvent::Failed { message, .. }) => message,
            Ok(other) => panic!("{other:?}"),
            Err(error) => error.to_string(),
        };
        assert!(said.to_lowercase().contains("unknown instruction: nonsense"), "{said}");
    });
});

// --- clear -------------------------------------------------------------------------------------

async fn records(connection: &Connection) -> Result<Vec<usage::Record>, BuilderError> {
    Ok(usage::records(connection).await?)
}

async fn prune(connection: &Connection) -> Result<usage::Pruned, BuilderError> {
    Ok(usage::prune_all(connection).await?)
}

async fn connection(engine: &Engine) -> Connection {
    let transport = Transport::of_engine(engine.info().api_version.into());
    Connection::open(engine.address(), transport).await.unwrap()
}

fn request(images: &[&str], project: &[&str]) -> ClearRequest {
    ClearRequest {
        images: images.iter().map(|text| text.parse().unwrap()).collect(),
        project: ProjectImages::Named(project.iter().map(|text| text.parse().unwrap()).collect()),
        repository: None,
        keep: vec![],
        scope: ClearScope { images: true, builder: true, ..ClearScope::default() },
        now: DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap(),
    }
}

async fn clear(engine: &Engine, request: &ClearRequest) -> ClearOutcome {
    let connection = connection(engine).await;
    let survey = ClearSurvey::take(engine, None, records(&connection).await.unwrap()).await.unwrap();
    let plan = plan(request, &survey);
    let dry = dry_run(engine, request, &plan, Instant::now());
    assert!(dry.dry_run && dry.freed_bytes == 0 && dry.items.iter().all(|item| item.fate != Fate::Removed));
    let clear = Clear {
        engine,
        request,
        survey: &survey,
        plan: &plan,
        builder: Some(BuilderCache { survey: || records(&connection), prune: || prune(&connection) }),
        run_url: Some("https://github.com/o/r/actions/runs/1".into()),
        started: Instant::now(),
    };
    let mut heard = 0;
    let outcome = clear.apply(&CancellationToken::new(), |_| heard += 1).await;
    assert_eq!(heard, outcome.items.len());
    outcome
}

/// Builds an image of 6 MB with BuildKit, through docker's own client.
fn buildx(place: &TestEngine, tag: &str) {
    let directory = tempfile::tempdir().unwrap();
    // Random, so that no store can make it smaller.
    let script = format!("FROM busybox:1.36\nRUN echo {tag} && head -c 6000000 /dev/urandom > /big\n");
    std::fs::write(directory.path().join("Dockerfile"), script).unwrap();
    docker(place, &["buildx", "build", "-q", "-t", tag, directory.path().to_str().unwrap()]);
}

on_every_engine!(a_clear_is_proven_and_the_second_finds_nothing, |place| {
    connected(place, async |engine: Engine| {
        // What other tests left in the builder would be freed here.
        docker(place, &["builder", "prune", "-af"]);
        let tag = unique("cleared") + ":1";
        buildx(place, &tag);
        let request = request(&[], &[&tag]);
        let outcome = clear(&engine, &request).await;
        assert_eq!(outcome.verified, Some(true), "{outcome:#?}");
        assert!(outcome.freed_bytes > 6_000_000 && outcome.freed_bytes < 30_000_000, "{outcome:#?}");
        assert_eq!(outcome.items[0].name, tag);
        assert_eq!(outcome.items[0].fate, Fate::Removed);
        let builder: Vec<_> = outcome.items.iter().filter(|item| item.place == Place::Builder).collect();
        assert!(builder.len() == 1 && builder[0].count >= 1 && builder[0].fate == Fate::Removed, "{builder:?}");
        assert_eq!(engine.inspect_image(&tag).await.unwrap(), None);

        let repository = tag.trim_end_matches(":1");
        let mark = async || engine.tombstone(repository).await.unwrap().map(|found| found.mark);
        let Some(Mark::Known(left)) = mark().await else { panic!("no mark") };
        assert_eq!((left.cleared_at, left.builder_cleared), (request.now, true));

        let again = clear(&engine, &request).await;
        assert_eq!((again.items.as_slice(), again.freed_bytes, again.verified), ([].as_slice(), 0, Some(true)));
        assert!(matches!(mark().await, Some(Mark::Known(_))));
        engine.remove_tombstone(&Tombstone::name_for(repository)).await.unwrap();
    });
});

on_every_engine!(freed_bytes_do_not_count_what_the_builder_still_holds, |place| {
    connected(place, async |engine: Engine| {
        let tag = unique("held") + ":1";
        buildx(place, &tag);
        let images_only = ClearScope { images: true, ..ClearScope::default() };
        let outcome = clear(&engine, &ClearRequest { scope: images_only, ..request(&[], &[&tag]) }).await;
        assert_eq!(outcome.verified, Some(true), "{outcome:#?}");
        assert!(outcome.freed_bytes < 1_000_000, "the builder still has the layer: {outcome:#?}");
        let builder_only = ClearScope { builder: true, ..ClearScope::default() };
        let outcome = clear(&engine, &ClearRequest { scope: builder_only, ..request(&[], &[&tag]) }).await;
        assert!(outcome.freed_bytes > 6_000_000, "{outcome:#?}");
        engine.remove_tombstone(&Tombstone::name_for(tag.trim_end_matches(":1"))).await.unwrap();
    });
});

on_every_engine!(what_is_in_use_stays_and_is_not_called_cleared, |place| {
    connected(place, async |engine: Engine| {
        let (used, free, name) = (unique("used"), unique("free"), unique("container"));
        buildx(place, &used);
        buildx(place, &free);
        docker(place, &["create", "--name", &name, &used, "true"]);
        let outcome = clear(&engine, &request(&[used.as_str(), free.as_str()], &[])).await;
        assert_eq!(outcome.verified, Some(false));
        let fate = |tag: &str| {
            let item = outcome.items.iter().find(|item| item.name.starts_with(tag)).unwrap();
            item.fate.clone()
        };
        assert_eq!(fate(&used), Fate::Kept { why: format!("used by container {name}") });
        assert_eq!(fate(&free), Fate::Removed);
        assert!(outcome.warnings.iter().any(|warning| warning.contains(&name)), "{:?}", outcome.warnings);
        assert!(engine.inspect_image(&used).await.unwrap().is_some());
        docker(place, &["rm", &name]);
        docker(place, &["rmi", &used]);
        engine.remove_tombstone(&Tombstone::name_for(&used)).await.unwrap();
        engine.remove_tombstone(&Tombstone::name_for(&free)).await.unwrap();
    });
});

on_every_engine!(one_item_that_fails_does_not_keep_the_others, |place| {
    connected(place, async |engine: Engine| {
        let (busy, free, name) = (unique("a-busy"), unique("b-free"), unique("container"));
        buildx(place, &busy);
        buildx(place, &free);
        let request = request(&[busy.as_str(), free.as_str()], &[]);
        let survey = ClearSurvey::take(&engine, None, vec![]).await.unwrap();
        let plan = plan(&request, &survey);
        // A container that appears after the survey: the engine refuses.
        docker(place, &["create", "--name", &name, &busy, "true"]);
        let connection = connection(&engine).await;
        let broken = async || Err::<usage::Pruned, BuilderError>("the builder is on fire".into());
        let clear = Clear {
            engine: &engine,
            request: &request,
            survey: &ClearSurvey { builder: records(&connection).await.unwrap(), ..survey.clone() },
            plan: &watchparty_cache::plan::clear::ClearPlan {
                builder: Some(watchparty_cache::plan::clear::PlannedBuilder::of(&records(&connection).await.unwrap())),
                ..plan
            },
            builder: Some(BuilderCache { survey: || records(&connection), prune: broken }),
            run_url: None,
            started: Instant::now(),
        };
        let outcome = clear.apply(&CancellationToken::new(), |_| {}).await;
        let fates: Vec<_> = outcome.items.iter().map(|item| &item.fate).collect();
        let [Fate::Failed { why: in_use }, Fate::Removed, Fate::Failed { why: on_fire }] = fates.as_slice() else {
            panic!("{outcome:#?}")
        };
        assert!(in_use.contains("container"), "{in_use}");
        assert_eq!(on_fire, "the builder is on fire");
        assert_eq!(outcome.verified, Some(false));
        docker(place, &["rm", &name]);
        docker(place, &["rmi", &busy]);
        docker(place, &["builder", "prune", "-af"]);
        engine.remove_tombstone(&busy).await.unwrap();
        engine.remove_tombstone(&Tombstone::name_for(&free)).await.unwrap();
    });
});

on_every_engine!(a_cancelled_clear_stops_between_items, |place| {
    connected(place, async |engine: Engine| {
        let (first, second) = (unique("a-first"), unique("b-second"));
        docker(place, &["tag", "busybox:1.36", &first]);
        docker(place, &["tag", "busybox:1.36", &second]);
        let request = ClearRequest {
            scope: ClearScope { images: true, ..ClearScope::default() },
            ..request(&[first.as_str(), second.as_str()], &[])
        };
        let survey = ClearSurvey::take(&engine, None, vec![]).await.unwrap();
        let cancel = CancellationToken::new();
        let connection = connection(&engine).await;
        let clear = Clear {
            engine: &engine,
            request: &request,
            survey: &survey,
            plan: &plan(&request, &survey),
            builder: Some(BuilderCache { survey: || records(&connection), prune: || prune(&connection) }),
            run_url: None,
            started: Instant::now(),
        };
        let outcome = clear.apply(&cancel, |_| cancel.cancel()).await;
        assert!(outcome.cancelled && outcome.verified.is_none() && outcome.items.len() == 1, "{outcome:#?}");
        assert_eq!(engine.inspect_image(&first).await.unwrap(), None);
        assert!(engine.inspect_image(&second).await.unwrap().is_some());
        // What is gone is marked, also by a clear that was not finished; what is still there is not.
        assert!(engine.tombstone(&first).await.unwrap().is_some());
        assert_eq!(engine.tombstone(&second).await.unwrap(), None);
        engine.remove_tombstone(&first).await.unwrap();
        docker(place, &["rmi", &second]);
    });
});
