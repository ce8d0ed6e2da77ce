//! Stages, and reasons of the whole build.

use super::super::is_another;
use super::{Scene, Side, scene, side};
use crate::outcome::build::{ClearMark, StepOutcome, StepStatus, UnusedSource};
use crate::project::target::NoCache;

const STAGES: &str = "FROM busybox AS deps\nCOPY deps /deps\nRUN install\nFROM deps AS build\nARG COMMIT\nCOPY src /src\n\
                      RUN make\nFROM busybox\nCOPY --from=deps /deps /deps\nCOPY --from=build /out /out\nRUN finish\n";
const FILES: [&str; 2] = ["deps", "src"];

fn stages() -> Side {
    side(STAGES, &FILES).arg("COMMIT", "1")
}

#[test]
fn a_step_below_names_the_first_that_ran() {
    let source = stages().file("src", "new", 0o644);
    let code = ["COPY src", "RUN make", "COPY --from=build", "RUN finish"];
    let earlier = "earlier [build 1/2] COPY src /src";
    assert_eq!(scene(&stages(), &source, &code).reasons(), ["files src", earlier, earlier, earlier]);

    let commit = side(STAGES, &FILES).arg("COMMIT", "2");
    let earlier = "earlier [build 2/2] RUN make";
    assert_eq!(scene(&stages(), &commit, &code[1..]).reasons(), ["argument COMMIT", earlier, earlier]);

    // A stage that is built on another one.
    let deps = stages().file("deps", "new", 0o644);
    let earlier = "earlier [deps 2/3] COPY deps /deps";
    let all = scene(&stages(), &deps, &["COPY", "RUN"]).reasons();
    assert_eq!(all[0], "files deps");
    assert!(all[1..].iter().all(|reason| reason == earlier), "{all:?}");

    // What a stage makes is the same as before: nothing that takes from it runs.
    let finish = side(&STAGES.replace("RUN finish", "RUN end"), &FILES).arg("COMMIT", "2");
    let reasons = scene(&stages(), &finish, &["RUN make", "RUN end"]).reasons();
    assert_eq!(reasons, ["argument COMMIT", "instruction"]);
}

#[test]
fn a_mount_takes_from_a_stage() {
    let of = |line: &str| {
        side(&format!("FROM busybox AS a\nRUN {line}\nFROM busybox\nRUN --mount=from=a,target=/a make\n"), &[])
    };
    let scene = scene(&of("x"), &of("y"), &["RUN"]);
    assert_eq!(scene.reasons(), ["instruction", "earlier [a 2/2] RUN y"]);
}

#[test]
fn a_stage_with_another_name_or_place_is_the_same() {
    let before = side("FROM busybox AS a\nCOPY x /\nFROM busybox\nCOPY --from=a /x /\n", &["x=1"]);
    let now = side("FROM busybox AS new\nFROM busybox AS b\nCOPY x /\nFROM busybox\nCOPY --from=b /x /\n", &["x=2"]);
    assert_eq!(scene(&before, &now, &["COPY"]).reasons(), ["files x", "earlier [b 2/2] COPY x /"]);
    // The stage is new, and all that is in it.
    let now = side("FROM busybox AS n\nRUN y\nFROM busybox AS a\nCOPY x /\nFROM n\nCOPY --from=a /x /\n", &["x=1"]);
    assert_eq!(scene(&before, &now, &["RUN y"]).reasons(), ["instruction"]);
}

#[test]
fn a_linked_copy_stands_alone_where_layers_can_be_merged() {
    let of = |content: &str| {
        let text = "FROM busybox\nCOPY a /\nCOPY --link b /\nRUN x\n";
        side(text, &["b"]).file("a", content, 0o644)
    };
    let mut scene = scene(&of("1"), &of("2"), &["COPY", "RUN"]);
    assert_eq!(scene.reasons(), ["files a", "unknown", "earlier [2/4] COPY a /"]);
    scene.merges = false;
    assert_eq!(scene.reasons(), ["files a", "earlier [2/4] COPY a /", "earlier [2/4] COPY a /"]);
}

#[test]
fn what_a_base_image_triggers_is_in_no_dockerfile() {
    let of = |id: &str| side("FROM busybox\nRUN x\n", &["a"]).base("busybox", id);
    // As Docker 28 counts, an `ONBUILD ENV` among the triggers; and as 20.10 does.
    for (total, keyword) in [(4, "ONBUILD RUN"), (2, "RUN")] {
        let triggered = |now: &Side| {
            let mut scene = scene(&of("1"), now, &["RUN"]);
            (scene.outcome.steps[0].position, scene.outcome.steps[0].of) = (3, total);
            let (name, instruction) = (format!("[2/{total}] {keyword} y"), format!("{keyword} y"));
            let trigger = super::step(&name, None, 2, total, &instruction);
            scene.outcome.steps.insert(0, StepOutcome { cached: false, ..trigger });
            let reasons = scene.reasons();
            // Nothing depends on the order in which steps are told.
            scene.outcome.steps.reverse();
            assert!(scene.reasons().iter().eq(reasons.iter().rev()));
            reasons
        };
        let earlier = format!("earlier [2/{total}] {keyword} y");
        assert_eq!(triggered(&of("1").file("a", "new", 0o644)), ["unknown", &*earlier]);
        assert_eq!(triggered(&of("2")), ["base busybox 1 2", &*earlier]);
        let changed = side("FROM busybox\nRUN z\n", &["a"]);
        assert_eq!(triggered(&changed), ["unknown", "instruction"]);
    }
}

#[test]
fn steps_that_do_not_fit_the_dockerfile_are_nobodys() {
    let mut scene = scene(&stages(), &stages(), &["RUN install", "RUN make"]);
    scene.outcome.steps.retain(|step| step.instruction != "COPY deps /deps");
    scene.outcome.steps.iter_mut().filter(|step| step.instruction == "RUN make").for_each(|step| {
        step.instruction = "COPY make /".to_owned();
    });
    assert_eq!(scene.reasons(), ["unknown", "unknown"]);
}

#[test]
fn an_image_that_is_gone_explains_what_did_not_change() {
    let mut lost = scene(&stages(), &stages(), &["COPY", "RUN"]);
    lost.present.clear();
    let reasons = lost.reasons();
    assert_eq!(reasons[0], "absent stage:deps");
    // A stage image is named for its stage, the image for the last one.
    let mut last = scene(&stages(), &stages(), &["COPY --from=deps", "COPY --from=build", "RUN finish"]);
    last.present.clear();
    let earlier = "earlier [stage-2 2/4] COPY --from=deps /deps /deps";
    assert_eq!(last.reasons(), ["absent app:latest", earlier, earlier]);
    // What changed all the same is told first.
    let mut changed = scene(&stages(), &stages().file("deps", "new", 0o644), &["COPY deps"]);
    changed.present.clear();
    assert_eq!(changed.reasons(), ["files deps"]);
    // It is there: then nobody knows.
    assert_eq!(scene(&stages(), &stages(), &["RUN finish"]).reasons(), ["unknown"]);
    // Steps above it that the builder had are others than the ledger knows.
    let mut built_meanwhile = scene(&stages(), &stages().file("src", "new", 0o644), &["RUN make"]);
    built_meanwhile.present.clear();
    assert_eq!(built_meanwhile.reasons(), ["unknown"]);
    // One of the images that hold the stage is enough.
    let mut held = scene(&stages(), &stages(), &["COPY deps"]);
    let build = held.previous.as_ref().unwrap().images.iter().find(|image| image.reference == "stage:build").unwrap();
    held.present = [build.id.to_string()].into();
    assert_eq!(held.reasons(), ["unknown"]);
    // The build before had no use for the stage.
    let mut unused = scene(&stages(), &stages(), &["COPY deps"]);
    unused.present.clear();
    unused.previous.as_mut().unwrap().steps.retain(|step| step.stage.as_deref() != Some("deps"));
    assert_eq!(unused.reasons(), ["unknown"]);
    // Without evidence nothing is known to be the same.
    for forget in [(|scene| scene.before = None) as fn(&mut super::Scene), |scene| scene.now = None] {
        let mut forgotten = scene(&stages(), &stages(), &["COPY deps", "RUN install"]);
        forgotten.present.clear();
        forget(&mut forgotten);
        assert_eq!(forgotten.reasons(), ["unknown", "earlier [deps 2/3] COPY deps /deps"]);
    }
}

#[test]
fn a_source_that_cannot_be_read_explains_only_what_nothing_else_does() {
    let unused = |reason: &str| vec![UnusedSource { source: "r.io/app".into(), reason: reason.into() }];
    let told = "unreadable r.io/app: 401 Unauthorized";
    let mut nothing_changed = scene(&stages(), &stages(), &["COPY deps", "RUN install"]);
    nothing_changed.outcome.unused_sources = unused("401 Unauthorized");
    assert_eq!(nothing_changed.reasons(), [told, "earlier [deps 2/3] COPY deps /deps"]);
    nothing_changed.present.clear();
    assert_eq!(nothing_changed.reasons()[0], "absent stage:deps");

    let mut changed = scene(&stages(), &stages().file("deps", "new", 0o644), &["COPY deps"]);
    changed.outcome.unused_sources = unused("401 Unauthorized");
    assert_eq!(changed.reasons(), ["files deps"]);

    let mut first = scene(&stages(), &stages(), &["COPY deps"]);
    first.previous = None;
    // It may never have had these steps; what could not be read is listed by itself.
    first.outcome.unused_sources = unused("401 Unauthorized");
    assert_eq!(first.reasons(), ["first build"]);
    first.outcome.unused_sources[0].source = "watchparty-cache/ledger:app".into();
    assert_eq!(first.reasons(), ["unreadable watchparty-cache/ledger:app: 401 Unauthorized"]);
    // What is not there cannot be read either, and that is nobody's fault.
    first.outcome.unused_sources = unused("the engine has no such image yet");
    assert_eq!(first.reasons(), ["first build"]);

    let mut repeated = scene(&stages(), &stages().file("src", "new", 0o644), &["COPY deps", "COPY src", "RUN make"]);
    repeated.outcome.without_cache = Some("layer 1 is gone".into());
    let ledger = repeated.previous.as_ref().unwrap().key.name();
    let told = format!("unreadable {ledger}: layer 1 is gone");
    assert_eq!(repeated.reasons(), [told.as_str(), "files src", &told]);
}

#[test]
fn reasons_of_the_whole_build() {
    let run = ["COPY src", "RUN make"];
    let changed = || scene(&stages(), &stages().file("src", "new", 0o644), &run);
    let mut first = changed();
    first.previous = None;
    assert_eq!(first.reasons(), ["first build"; 2]);
    first.remembered = false;
    assert_eq!(first.reasons(), ["unknown"; 2]);

    let mut cleared = changed();
    let mark = |builder_cleared| Some(ClearMark { cleared_at: None, run_url: None, builder_cleared });
    cleared.outcome.fresh_after = mark(true);
    assert_eq!(cleared.reasons(), ["cleared"; 2]);
    // The builder kept its own: what changed is the reason, and where nothing is known of before, there is none.
    cleared.outcome.fresh_after = mark(false);
    assert_eq!(cleared.reasons()[0], "files src");
    cleared.previous = None;
    assert_eq!(cleared.reasons(), ["unknown"; 2]);

    let mut asked = changed();
    asked.target.no_cache = NoCache::All;
    assert_eq!(asked.reasons(), ["asked"; 2]);
    asked.outcome.fresh_after = Some(ClearMark { cleared_at: None, run_url: None, builder_cleared: false });
    assert_eq!(asked.reasons(), ["asked"; 2]);

    // Only this stage; what is built on it ran because of it.
    let mut filtered = scene(&stages(), &stages(), &["COPY deps", "RUN install", "COPY src"]);
    filtered.target.no_cache = NoCache::Stages(vec!["DEPS".into(), "final".into()]);
    assert_eq!(filtered.reasons(), ["asked", "asked", "earlier [deps 2/3] COPY deps /deps"]);

    let mut unbegun = changed();
    unbegun.outcome.steps.iter_mut().for_each(|step| step.status = StepStatus::NotRun);
    assert_eq!(unbegun.reasons(), [""; 0]);
}

#[test]
fn a_build_that_ran_nothing_is_another_if_one_of_its_steps_is() {
    let differs = |now: &Side| {
        let scene = scene(&stages(), now, &[]);
        is_another(&scene.outcome, &scene.known())
    };
    let with = |text: String| side(&text, &FILES).arg("COMMIT", "1");
    assert!(!differs(&stages()));
    assert!(!differs(&stages().file("README", "copied by nobody", 0o644)));
    assert!(!differs(&with(STAGES.replace("FROM busybox\n", "# A comment.\nFROM busybox\n"))));

    assert!(differs(&stages().file("src", "new", 0o644)), "a file");
    assert!(differs(&stages().file("src", "content", 0o755)), "a mode");
    assert!(differs(&side(STAGES, &FILES).arg("COMMIT", "2")), "an argument");
    assert!(differs(&stages().base("busybox", "2")), "a base image");
    assert!(differs(&with(STAGES.replace("RUN make", "RUN make all"))), "an instruction");
    assert!(differs(&with(STAGES.replace("RUN make\n", ""))), "one that is gone");
    assert!(differs(&with(STAGES.replace("RUN make", "ENV A=1\nRUN make"))), "a setting");

    // Nobody knows.
    let unknown = Scene { before: None, ..scene(&stages(), &side(STAGES, &FILES).arg("COMMIT", "2"), &[]) };
    assert!(!is_another(&unknown.outcome, &unknown.known()));
}
