//! The command line: a subcommand for each mode, and a flag of the same name for each input.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::inputs::table::{self, Input, Kind, Modes, Status};

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// A run, with the inputs that were given as flags: `(name, value)`. Empty on a runner.
    Run(Vec<(&'static str, String)>),
    /// A text that the person asked for; nothing else is to be done.
    Print(String),
}

/// A command line that cannot be understood: what is wrong with it, and how to use it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// Reads a command line, whose first word is the program's name.
///
/// # Errors
/// If there is a flag or a word in it that the program does not know.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    match command().try_get_matches_from(arguments) {
        Ok(matches) => Ok(Invocation::Run(flags(&matches))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Invocation::Print(error.render().to_string())),
            _ => Err(UsageError(error.render().to_string())),
        },
    }
}

/// The text of `--help`.
pub fn help() -> String {
    command().render_help().to_string()
}

fn command() -> Command {
    Command::new("watchparty-cache")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Builds Docker images with the previous images as the cache, clears every cache, and says where the time went.")
        .disable_help_subcommand(true)
        .subcommand(mode(Modes::Build, "build", "Build images"))
        .subcommand(mode(Modes::Clear, "clear", "Clear the caches, and prove it"))
        .after_help("On a GitHub runner the inputs come from INPUT_… variables instead, and no argument is needed.")
}

fn mode(mode: Modes, name: &'static str, about: &'static str) -> Command {
    let inputs = table::ALL.iter().filter(|input| input.modes == Modes::Both || input.modes == mode);
    Command::new(name).about(about).args(inputs.filter(|input| **input != table::MODE).map(flag))
}

fn flag(input: &'static Input) -> Arg {
    let default = input.fallback().map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let flag = Arg::new(input.name)
        .long(input.name)
        .help(format!("{}{default}", input.description))
        .hide(input.status != Status::Works);
    match input.kind {
        Kind::Boolean => flag
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
            .value_parser(PossibleValuesParser::new(["true", "false"]))
            .hide_possible_values(true),
        Kind::Text | Kind::Secret => flag.action(ArgAction::Set).value_name("VALUE"),
        Kind::List => flag.action(ArgAction::Append).value_name("LIST"),
        Kind::Lines | Kind::Assignments | Kind::SecretLines => flag.action(ArgAction::Append).value_name("ENTRY"),
    }
}

/// A flag that is given several times is a list with one entry a line.
fn flags(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let Some((mode, matches)) = matches.subcommand() else { return Vec::new() };
    let mut flags = vec![(table::MODE.name, mode.to_owned())];
    for input in table::ALL {
        if let Ok(Some(values)) = matches.try_get_many::<String>(input.name) {
            flags.push((input.name, values.map(String::as_str).collect::<Vec<_>>().join("\n")));
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Invocation, UsageError, command, read};
    use crate::inputs::table::{ALL, Status};

    fn run(arguments: &[&str]) -> Result<Invocation, UsageError> {
        read(std::iter::once("watchparty-cache").chain(arguments.iter().copied()).map(OsString::from))
    }

    #[test]
    fn is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn flags_are_inputs() {
        let flags = |pairs: &[(&'static str, &str)]| {
            Ok(Invocation::Run(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()))
        };
        assert_eq!(run(&[]), flags(&[]));
        assert_eq!(
            run(&["build", "--compose-file", "a.yaml", "--no-cache", "--compose-file=b.yaml", "--pull=false"]),
            flags(&[("mode", "build"), ("compose-file", "a.yaml\nb.yaml"), ("pull", "false"), ("no-cache", "true")])
        );
        assert_eq!(
            run(&["clear", "--dry-run", "--images", "app,web"]),
            flags(&[("mode", "clear"), ("images", "app,web"), ("dry-run", "true")])
        );
        // Declared and refused later, with the way out.
        assert_eq!(run(&["build", "--outputs", "x"]), flags(&[("mode", "build"), ("outputs", "x")]));
    }

    #[test]
    fn helps_with_typos() {
        let error = run(&["build", "--compose-fil", "x"]).unwrap_err().to_string();
        assert!(error.contains("a similar argument exists: '--compose-file'"), "{error}");
        let error = run(&["clear", "--no-cache"]).unwrap_err().to_string();
        assert!(error.contains("unexpected argument '--no-cache'"), "{error}");
        assert!(run(&["biuld"]).unwrap_err().to_string().contains("'build'"));
        assert!(run(&["build", "--no-cache=yes"]).is_err());
    }

    #[test]
    fn prints_what_was_asked_for() {
        let Ok(Invocation::Print(version)) = run(&["--version"]) else { panic!("no version") };
        assert_eq!(version, format!("watchparty-cache {}\n", env!("CARGO_PKG_VERSION")));
        let Ok(Invocation::Print(build)) = run(&["build", "--help"]) else { panic!("no help") };
        let Ok(Invocation::Print(clear)) = run(&["clear", "--help"]) else { panic!("no help") };
        // The lines are wrapped for the terminal.
        let [build, clear] = [build, clear].map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        for input in ALL {
            let names_it = |text: &str| {
                text.contains(&format!("--{} ", input.name)) || text.contains(&format!("--{}[=", input.name))
            };
            assert_eq!(
                names_it(&format!("{build} {clear}")),
                input.status == Status::Works && input.name != "mode",
                "{}",
                input.name
            );
            let default = input.fallback().map(|default| format!(" [default: {default}]")).unwrap_or_default();
            for help in [&build, &clear].into_iter().filter(|help| names_it(help)) {
                assert!(help.contains(&format!("{}{default}", input.description)), "{}: {help}", input.name);
            }
        }
    }
}
