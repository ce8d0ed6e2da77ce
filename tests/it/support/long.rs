//! A build that takes long enough to be interrupted.

use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Action, Engine, Finished, Project, unique};

/// A build whose only step runs.
pub(crate) struct LongBuild {
    pub(crate) action: Action,
    pub(crate) child: Child,
    pub(crate) step: LongStep,
    pub(crate) tag: String,
    engine: Engine,
    project: Project,
}

/// A build that was long, and can be made again.
pub(crate) struct Again {
    engine: Engine,
    tag: String,
    project: Project,
}

impl Again {
    pub(crate) fn again(&self) -> Finished {
        Action::new(&self.engine, self.project.path()).input("tags", &self.tag).run().expect_code(0)
    }
}

impl LongBuild {
    /// Begins it, and comes back once its step runs.
    pub(crate) fn start(engine: &Engine) -> Self {
        Self::with_step(engine, str::to_owned)
    }

    /// One whose step ends by itself after so many seconds.
    pub(crate) fn start_for(engine: &Engine, seconds: u32) -> Self {
        Self::with_step(engine, |step| format!("({step} & sleep {seconds})"))
    }

    /// Waits for its end, and gives what it takes to build the same again.
    pub(crate) fn finish(self) -> (Again, Finished) {
        let Self { action, child, tag, engine, project, .. } = self;
        let finished = action.finish(&child.wait_with_output().unwrap()).expect_code(0);
        (Again { engine, tag, project }, finished)
    }

    fn with_step(engine: &Engine, command: impl Fn(&str) -> String) -> Self {
        let step = LongStep::new();
        let name = unique("long");
        let text = format!("FROM busybox:1.36\nRUN echo {name} && {}\n", command(&step.command));
        let project = Project::new(&[("Dockerfile", &text)]);
        let action = Action::new(engine, project.path()).input("tags", &name);
        let child = action.start();
        assert!(step.waits_until(true, Duration::from_secs(30)), "the step never began");
        Self { action, child, step, tag: name, engine: engine.clone(), project }
    }
}

/// A command that nothing else on this machine runs.
pub(crate) struct LongStep {
    pub(crate) command: String,
}

impl LongStep {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self { command: format!("sleep 1{:07}{:02}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Whether it runs, or does not run any more, before the time is over.
    pub(crate) fn waits_until(&self, runs: bool, limit: Duration) -> bool {
        let begun = Instant::now();
        while self.runs() != runs {
            if begun.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        true
    }

    /// The engines' containers are processes of this machine.
    fn runs(&self) -> bool {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").trim() == self.command
        })
    }
}
