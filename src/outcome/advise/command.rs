//! What a `RUN` does, where every one of its commands is known.
//!
//! A process sees every build argument in its environment, and may read any file: what an unknown command needs nobody
//! can say. The commands that are known here install dependencies or do nothing that depends on the commit.

use crate::project::dockerfile::Instruction;

/// One command of a `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// It installs packages.
    Install(Install),
    /// It touches files or changes the directory.
    Files,
    /// It neither needs a file of the context nor leaves anything that does.
    Plain,
}

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Install {
    /// Who installs.
    pub(super) tool: Tool,
    /// What follows the tool's name, the subcommand among it.
    pub(super) words: Vec<String>,
}

impl Install {
    /// Whether one of its words is this flag.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }
}

/// Package managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tool {
    /// The distribution's, or any that installs by name and not by a manifest.
    System,
    /// npm.
    Npm,
    /// Yarn.
    Yarn,
    /// pnpm.
    Pnpm,
    /// pip.
    Pip,
    /// Poetry.
    Poetry,
    /// uv.
    Uv,
    /// Pipenv.
    Pipenv,
    /// Go modules.
    Go,
    /// Cargo.
    Cargo,
    /// Bundler.
    Bundler,
    /// Composer.
    Composer,
    /// Maven.
    Maven,
}

/// The commands of a `RUN`, in their order; `None` if one of them is not known.
pub(super) fn commands(instruction: &Instruction) -> Option<Vec<Command>> {
    let arguments = instruction.arguments.as_str();
    let lists = match serde_json::from_str::<Vec<String>>(arguments) {
        Ok(words) => vec![words],
        Err(_) => split(arguments)?,
    };
    lists.iter().map(|words| command(words)).collect()
}

/// A shell's lists of words; `None` for what it would have to run or read to know them.
fn split(text: &str) -> Option<Vec<Vec<String>>> {
    if ["$(", "`", "<", "(", "{ "].iter().any(|unknown| text.contains(unknown)) {
        return None;
    }
    // Where errors go, and no command in the background.
    let text = text.replace("2>&1", " ").replace(">&2", " ");
    let mut lists = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_whitespace() => end_word(&mut lists, &mut word),
            (None, ';' | '&' | '|') => {
                end_word(&mut lists, &mut word);
                lists.push(Vec::new());
            }
            (_, c) => word.push(c),
        }
    }
    end_word(&mut lists, &mut word);
    lists.retain(|words| !words.is_empty());
    (quote.is_none() && !lists.is_empty()).then_some(lists)
}

fn end_word(lists: &mut [Vec<String>], word: &mut String) {
    if let Some(list) = lists.last_mut().filter(|_| !word.is_empty()) {
        list.push(std::mem::take(word));
    }
}

fn command(words: &[String]) -> Option<Command> {
    let is_prefix =
        |word: &&String| matches!(word.as_str(), "sudo" | "exec" | "env" | "command") || is_assignment(word);
    let words = without_redirections(words);
    let mut rest = words.iter().copied().skip_while(is_prefix).map(String::as_str);
    let Some(program) = rest.next() else { return Some(Command::Plain) };
    let words: Vec<&str> = rest.collect();
    match program.rsplit('/').next().unwrap_or(program) {
        "set" | "true" | ":" | "echo" | "printf" | "mkdir" | "export" | "sleep" | "corepack" | "groupadd"
        | "useradd" | "addgroup" | "adduser" => Some(Command::Plain),
        "cd" | "rm" | "cp" | "mv" | "ln" | "chmod" | "chown" | "touch" => Some(Command::Files),
        "python" | "python3" => match words.as_slice() {
            ["-m", "pip", rest @ ..] => install("pip", rest),
            ["-m", "venv", ..] => Some(Command::Plain),
            _ => None,
        },
        "uv" if words.first() == Some(&"pip") => install("pip", words.get(1..)?),
        program => install(program, &words),
    }
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Without `> file`, `2>/dev/null` and the like: where the output goes is not what a command does.
fn without_redirections(words: &[String]) -> Vec<&String> {
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix('>') {
            Some("" | ">") => {
                words.next();
            }
            Some(_) => {}
            None => kept.push(word),
        }
    }
    kept
}

fn install(program: &str, words: &[&str]) -> Option<Command> {
    let subcommand = words.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let has = |flags: &[&str]| words.iter().any(|word| flags.contains(word));
    let global = has(&["-g", "--global", "--location=global"]);
    let tool = match (program, subcommand) {
        ("npm" | "yarn" | "pnpm" | "pip" | "pip3" | "poetry" | "bundle", "config" | "cache" | "store" | "set")
        | ("apt-get" | "apt", "clean" | "autoclean") => return Some(Command::Plain),
        ("apt-get" | "apt", "update" | "install" | "upgrade" | "dist-upgrade" | "autoremove" | "remove" | "purge")
        | ("apk", "add" | "update" | "upgrade" | "del")
        | ("dnf" | "yum" | "microdnf", "install" | "update" | "upgrade" | "clean" | "makecache" | "remove")
        | ("gem", "install") => Tool::System,
        ("npm", "install" | "i") | ("pnpm", "add") if global => Tool::System,
        // With names it changes the manifest, which is no plain installation.
        ("npm", "ci" | "clean-install" | "install" | "i") if is_alone(words) => Tool::Npm,
        ("yarn", "install" | "") if is_alone(words) => Tool::Yarn,
        ("pnpm", "install" | "i" | "fetch") if is_alone(words) => Tool::Pnpm,
        // A directory is built, and what builds it may read anything.
        ("pip" | "pip3", "install") if !builds_a_directory(words) => Tool::Pip,
        ("poetry", "install") if has(&["--no-root"]) => Tool::Poetry,
        ("uv", "sync") if has(&["--no-install-project"]) => Tool::Uv,
        ("pipenv", "install" | "sync") => Tool::Pipenv,
        ("go", "mod") if words.get(1) == Some(&"download") => Tool::Go,
        ("cargo", "fetch") => Tool::Cargo,
        ("bundle", "install") => Tool::Bundler,
        ("composer", "install") if has(&["--no-scripts"]) => Tool::Composer,
        ("mvn" | "mvnw", _) if has_dependency_goals_only(words) => Tool::Maven,
        _ => return None,
    };
    Some(Command::Install(Install { tool, words: words.iter().map(|word| (*word).to_owned()).collect() }))
}

/// Whether the subcommand is the only word that is not a flag.
fn is_alone(words: &[&str]) -> bool {
    words.iter().filter(|word| !word.starts_with('-')).count() <= 1
}

/// Whether pip builds what lies in a directory, and does not only install what is named or listed.
fn builds_a_directory(words: &[&str]) -> bool {
    let starts = [".", "/", "file:"];
    let is_path = |word: &str| starts.iter().any(|start| word.starts_with(start));
    let mut before = "";
    words.iter().any(|word| {
        let is_list = matches!(std::mem::replace(&mut before, word), "-r" | "--requirement" | "-c" | "--constraint");
        matches!(*word, "-e" | "--editable") || (is_path(word) && !is_list)
    })
}

fn has_dependency_goals_only(words: &[&str]) -> bool {
    let mut goals = words.iter().filter(|word| !word.starts_with('-')).peekable();
    goals.peek().is_some() && goals.all(|goal| goal.starts_with("dependency:"))
}

#[cfg(test)]
mod tests {
    use super::{Command, Tool, commands};
    use crate::project::dockerfile::Dockerfile;

    fn of(run: &str) -> Option<Vec<Command>> {
        let dockerfile = Dockerfile::parse(&format!("FROM a\nRUN {run}\n")).unwrap();
        commands(&dockerfile.stages()[0].instructions()[0])
    }

    #[test]
    fn installations_are_known_by_their_tools() {
        for (run, tool) in [
            (
                "apt-get update && apt-get install -y --no-install-recommends curl \\\n && rm -rf /var/lib/apt/lists/*",
                Tool::System,
            ),
            ("set -eux; apk add --no-cache git", Tool::System),
            ("--mount=type=cache,target=/root/.npm npm ci --no-audit", Tool::Npm),
            ("[\"npm\", \"ci\"]", Tool::Npm),
            ("NODE_ENV=production npm install --omit=dev && npm cache clean --force", Tool::Npm),
            ("npm install -g serve typescript", Tool::System),
            ("corepack enable && yarn --frozen-lockfile", Tool::Yarn),
            ("pnpm install --frozen-lockfile > /dev/null 2>&1", Tool::Pnpm),
            ("pip install --no-cache-dir -r requirements.txt", Tool::Pip),
            ("python3 -m pip install flask", Tool::Pip),
            ("uv pip install -r requirements.txt", Tool::Pip),
            ("poetry install --no-root", Tool::Poetry),
            ("/usr/local/go/bin/go mod download", Tool::Go),
            ("cargo fetch --locked", Tool::Cargo),
            ("bundle config set without 'development test' && bundle install", Tool::Bundler),
            ("composer install --no-scripts --no-autoloader", Tool::Composer),
            ("./mvnw -B dependency:go-offline", Tool::Maven),
        ] {
            let commands = of(run).unwrap_or_else(|| panic!("{run}"));
            let tools = commands.iter().filter_map(|command| match command {
                Command::Install(install) => Some(install.tool),
                Command::Files | Command::Plain => None,
            });
            assert!(tools.clone().next().is_some() && tools.clone().all(|found| found == tool), "{run}: {commands:?}");
        }
    }

    #[test]
    fn one_unknown_command_is_enough() {
        for run in [
            "make",
            "npm ci && npm run build",
            "npm install left-pad",
            "apt-get install -y $(cat packages)",
            "curl https://example.com/install | sh",
            "apt-get update && ./setup.sh",
            "pip install .",
            "pip install -e ./lib",
            "poetry install",
            "uv sync",
            "composer install",
            "mvn dependency:go-offline package",
            "cargo install --path .",
            "python setup.py install",
            "[\"sh\", \"-c\", \"npm ci\"]",
            "if true; then npm ci; fi",
            "npm ci 'unterminated",
            "cat <<E > /x\nE",
        ] {
            let dockerfile = Dockerfile::parse(&format!("FROM a\nRUN {run}\n"));
            let known = dockerfile.ok().and_then(|parsed| commands(&parsed.stages()[0].instructions()[0]));
            assert_eq!(known, None, "{run}");
        }
    }
}
