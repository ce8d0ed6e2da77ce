//! The class of the runner: machines of one class are alike, and only their times are compared.

use std::num::NonZeroUsize;

use crate::runner::Environment;

/// `github-hosted Linux X64, 4 processors`: who runs it (`RUNNER_ENVIRONMENT`), `RUNNER_OS`, `RUNNER_ARCH`, and what
/// tells the sizes of GitHub's runners apart.
pub fn class(environment: &Environment) -> String {
    of(environment, std::thread::available_parallelism().map_or(0, NonZeroUsize::get))
}

fn of(environment: &Environment, processors: usize) -> String {
    let names = ["RUNNER_ENVIRONMENT", "RUNNER_OS", "RUNNER_ARCH"];
    let words: Vec<&str> = names.iter().filter_map(|name| environment.non_empty(name)).collect();
    format!("{}, {processors} processors", words.join(" "))
}

#[cfg(test)]
mod tests {
    use crate::runner::Environment;

    #[test]
    fn is_what_makes_times_comparable() {
        let environment = Environment::from_iter([
            ("RUNNER_ENVIRONMENT", "github-hosted"),
            ("RUNNER_OS", "Linux"),
            ("RUNNER_ARCH", "X64"),
            ("RUNNER_NAME", "GitHub Actions 3"),
        ]);
        assert_eq!(super::of(&environment, 4), "github-hosted Linux X64, 4 processors");
    }
}
