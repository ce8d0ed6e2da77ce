//! Builds between the survey and a removal: what they made stays.

use std::time::Instant;

use tokio_util::sync::CancellationToken;
use watchparty_cache::address::Address;
use watchparty_cache::buildkit::usage::{Pruned, Record};
use watchparty_cache::execute::clear::{BuilderCache, BuilderError, Clear};
use watchparty_cache::inputs::ClearScope;
use watchparty_cache::outcome::clear::{ClearOutcome, Fate};
use watchparty_cache::plan::clear::{ClearRequest, ProjectImages, plan};
use watchparty_cache::survey::clear::ClearSurvey;

use super::Cache;
use crate::support::{Engine, docker, on_every_engine, unique};

/// Surveys and plans a clear of these images, lets a build be at work, and carries the plan out.
fn clear(engine: &Engine, it: &Cache<'_>, build: impl FnOnce()) -> ClearOutcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = Address::parse(&engine.address, None).unwrap();
        let connected = watchparty_cache::engine::Engine::connect(&address).await.unwrap();
        let request = ClearRequest {
            images: vec![it.app.parse().unwrap()],
            project: ProjectImages::OfLedgers,
            repository: Some(it.repository.clone()),
            keep: vec![],
            scope: ClearScope { images: true, ..ClearScope::default() },
            now: chrono::Utc::now(),
        };
        let survey = ClearSurvey::take(&connected, None, Vec::new()).await.unwrap();
        let planned = plan(&request, &survey);
        build();
        let clear = Clear {
            engine: &connected,
            request: &request,
            survey: &survey,
            plan: &planned,
            builder: Some(BuilderCache {
                survey: async || Ok::<Vec<Record>, BuilderError>(Vec::new()),
                prune: async || Ok::<Pruned, BuilderError>(Pruned::default()),
            }),
            run_url: None,
            started: Instant::now(),
        };
        clear.apply(&CancellationToken::new(), |_| ()).await
    })
}

on_every_engine!(an_image_that_is_built_again_before_its_removal_stays, |engine| {
    let it = Cache::new(engine);
    let stays = format!("{}:other", it.app);
    it.image(&[&it.app]);
    let (predecessor, other) = (it.image(&[]), it.image(&[&stays]));
    let ledger = it.ledger(&it.repository, Some(&it.app), &[&predecessor]);
    let (second, elsewhere) = (it.image(&[]), unique("elsewhere"));
    let outcome = clear(engine, &it, || {
        docker(engine, &["tag", &second, &it.app]);
        // A rebuild without a change makes the very same image.
        docker(engine, &["tag", &predecessor, &elsewhere]);
        docker(engine, &["image", "rm", &stays]);
    });
    let fate = |name: &str| {
        let found = outcome.items.iter().find(|item| item.name == name || item.name == format!("{name}:latest"));
        found.unwrap_or_else(|| panic!("no {name} in {:?}", outcome.items)).fate.clone()
    };
    let kept = |why: String| Fate::Kept { why };
    it.there(&[&it.app, &second, &predecessor, &elsewhere]);
    it.gone(&[&stays, &other, &ledger]);
    assert_eq!(fate(&it.app), kept("built again meanwhile".into()));
    assert_eq!(fate(&predecessor), kept(format!("named {elsewhere}:latest meanwhile")));
    assert_eq!((fate(&stays), fate(&ledger)), (Fate::Removed, Fate::Removed));
    assert_eq!(outcome.verified, Some(false), "the name that was to go is there: {:?}", outcome.warnings);
    docker(engine, &["image", "rm", "-f", &elsewhere]);
});
