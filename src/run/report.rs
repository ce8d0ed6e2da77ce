//! Hands reports to the runner. A report that fails is a warning: it never changes how a run ended.

use crate::inputs::{Common, Output};
use crate::outcome::baseline::Gate;
use crate::outcome::build::BuildOutcome;
use crate::outcome::clear::ClearOutcome;
use crate::report::{annotation, console, outputs, summary, words};
use crate::runner::FileCommandError;

use super::Run;

impl Run {
    /// Everything that is said after a build.
    pub(super) fn report_build(&self, outcome: &BuildOutcome, common: &Common) {
        console::build(outcome).iter().for_each(|line| self.console.info(line));
        if common.report.failures() {
            annotation::failures(outcome).iter().for_each(|failure| self.console.annotate(failure));
        }
        if common.report.annotations {
            annotation::advice(outcome).iter().for_each(|advice| self.console.annotate(advice));
        }
        if let Some(gate @ Gate::Missed { .. }) = &outcome.gate {
            let words = words::baseline::gate(gate, outcome.duration, outcome.baseline.as_ref(), str::to_owned);
            self.explain(&words, "the summary says what took long");
        }
        for (tag, problem) in outcome.pushes.problems() {
            let words = words::push::problem(tag, problem, str::to_owned, str::to_owned);
            self.explain(&words, problem.help.as_deref().unwrap_or_default());
        }
        self.outputs(outputs::of_build(outcome));
        if common.report.summary {
            self.summary(&summary::build(outcome));
        }
    }

    /// Everything that is said after a clear.
    pub(super) fn report_clear(&self, outcome: &ClearOutcome, common: &Common) {
        console::clear(outcome).iter().for_each(|line| self.console.info(line));
        self.outputs(outputs::of_clear(outcome));
        if common.report.summary {
            self.summary(&summary::clear(outcome));
        }
    }

    fn outputs(&self, outputs: Vec<(Output, String)>) {
        self.so_far().reported = true;
        // At a terminal the closing text has said it all.
        if self.context.on_runner {
            outputs.into_iter().for_each(|(output, value)| self.told(self.files.set_output(output, &value)));
        }
    }

    fn summary(&self, markdown: &str) {
        // Markdown is for a page; a terminal has the closing text.
        if self.context.on_runner || self.environment.non_empty("GITHUB_STEP_SUMMARY").is_some() {
            self.told(self.files.append_summary(markdown));
        }
    }

    fn told(&self, told: Result<(), FileCommandError>) {
        if let Err(error) = told {
            self.console.warning(&format!("{}; {}", crate::error::chain(&error), error.help()));
        }
    }
}
