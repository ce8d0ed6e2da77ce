//! The program: wires the process to [`watchparty_cache`].

use std::process::ExitCode;

use watchparty_cache::run::{Process, run};

fn main() -> ExitCode {
    run(Process::this()).into()
}
