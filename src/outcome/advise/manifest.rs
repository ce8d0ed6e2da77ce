//! Which files an installation needs, where a look into them leaves no doubt.
//!
//! Before the sources are there, an installation finds its manifests only. One that would miss something then (a script of
//! the package, a workspace, a dependency in a directory) is not known to work, and nothing is said of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::command::{Install, Tool};

/// Files of the context that can be copied, by their paths, with their content.
pub type Files = BTreeMap<String, String>;

/// Scripts that npm and its like run when they install.
const SCRIPTS: [&str; 8] =
    ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare", "dependencies"];

/// The names that [`needs`] wants to look at.
pub(super) fn names(install: &Install) -> Vec<String> {
    let names: &[&str] = match install.tool {
        Tool::Npm => &["package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc"],
        Tool::Yarn => &["package.json", "yarn.lock", ".npmrc", ".yarnrc", ".yarnrc.yml"],
        Tool::Pnpm => &["package.json", "pnpm-lock.yaml", ".npmrc", ".pnpmfile.cjs", "pnpm-workspace.yaml"],
        Tool::Pip => return requirements(install),
        Tool::Poetry => &["pyproject.toml", "poetry.lock"],
        Tool::Uv => &["pyproject.toml", "uv.lock"],
        Tool::Pipenv => &["Pipfile", "Pipfile.lock"],
        Tool::Go => &["go.mod", "go.sum", "go.work"],
        Tool::Bundler => &["Gemfile", "Gemfile.lock"],
        Tool::Composer => &["composer.json", "composer.lock"],
        Tool::Maven => &["pom.xml"],
        Tool::System | Tool::Cargo => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The files of `directory` that an installation needs, and that are enough for it; `None` if that is not sure.
pub(super) fn needs(install: &Install, directory: &str, files: &Files) -> Option<Vec<String>> {
    let names = names(install);
    let manifest = files.get(&within(directory, names.first()?))?;
    let there = |name: &str| files.contains_key(&within(directory, name));
    let elsewhere = ["--prefix", "-C", "--cwd", "--dir", "-f", "--file", "--gemfile", "--directory", "-d", "--project"];
    if install.words.iter().any(|word| elsewhere.contains(&word.split('=').next().unwrap_or(word))) {
        return None;
    }
    let has = |texts: &[&str]| texts.iter().any(|text| manifest.contains(text));
    let enough = match install.tool {
        Tool::Npm => packages_alone(manifest, install),
        Tool::Yarn => packages_alone(manifest, install) && !there(".yarnrc.yml"),
        Tool::Pnpm => packages_alone(manifest, install) && !there("pnpm-workspace.yaml"),
        Tool::Pip => {
            let all = names.iter().map(|name| files.get(&within(directory, name)));
            all.into_iter().all(|file| file.is_some_and(|file| file.lines().all(is_package)))
        }
        Tool::Poetry | Tool::Uv | Tool::Pipenv => !has(&["path =", "path=", "workspace", "editable", "file:"]),
        Tool::Go => !has(&["=> .", "=> /"]) && !there("go.work"),
        Tool::Bundler => !has(&["gemspec", "path", "eval_gemfile", "require_relative", "File.", "file:"]),
        Tool::Composer => {
            let autoload = has(&["\"autoload\"", "\"autoload-dev\""]);
            !has(&["\"path\""]) && (!autoload || install.has("--no-autoloader"))
        }
        Tool::Maven => !has(&["<module>", "<relativePath>", "${project.basedir}", "<systemPath>"]),
        Tool::System | Tool::Cargo => false,
    };
    let found = names.iter().filter(|name| there(name)).map(|name| within(directory, name));
    enough.then(|| found.collect())
}

/// Whether a `package.json` runs scripts of its own when its dependencies are installed, or cannot be read.
pub(super) fn runs_scripts(manifest: &str) -> bool {
    let Ok(manifest) = serde_json::from_str::<Value>(manifest) else { return true };
    manifest.get("scripts").is_some_and(|scripts| SCRIPTS.iter().any(|name| scripts.get(name).is_some()))
}

fn packages_alone(manifest: &str, install: &Install) -> bool {
    let Ok(package) = serde_json::from_str::<Value>(manifest) else { return false };
    let scripts = runs_scripts(manifest) && !install.has("--ignore-scripts");
    let local =
        ["\"file:", "\"link:", "\"portal:", "\"workspace:", "\"patch:"].iter().any(|text| manifest.contains(text));
    !scripts && !local && package.get("workspaces").is_none()
}

/// The files after `-r` and `-c`.
fn requirements(install: &Install) -> Vec<String> {
    let mut words = install.words.iter();
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        let joined = ["--requirement=", "--constraint="].iter().find_map(|flag| word.strip_prefix(flag));
        match word.as_str() {
            "-r" | "--requirement" | "-c" | "--constraint" => files.extend(words.next().cloned()),
            _ => files.extend(joined.map(str::to_owned)),
        }
    }
    files.into_iter().map(|file| file.trim_start_matches("./").to_owned()).collect()
}

/// A line of a requirements file that names a package, or an option that names no file.
fn is_package(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let options =
        ["--index-url", "--extra-index-url", "-i ", "--no-binary", "--only-binary", "--prefer-binary", "--hash"];
    let is_option = line.starts_with('-');
    let is_path = line.starts_with(['.', '/']) || line.contains("file:");
    !is_path && (!is_option || options.iter().any(|option| line.starts_with(option)))
}

/// A path of the context.
pub(super) fn within(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::{Files, needs};
    use crate::outcome::advise::command::{Command, commands};
    use crate::project::dockerfile::Dockerfile;

    fn of(run: &str, files: &[(&str, &str)]) -> Option<Vec<String>> {
        let dockerfile = Dockerfile::parse(&format!("FROM a\nRUN {run}\n")).unwrap();
        let files: Files = files.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect();
        let commands = commands(&dockerfile.stages()[0].instructions()[0]).unwrap();
        let [Command::Install(install)] = commands.as_slice() else { panic!("{commands:?}") };
        needs(install, "web", &files)
    }

    #[test]
    fn manifests_that_are_enough() {
        for (run, files, expected) in [
            (
                "npm ci",
                &[
                    ("web/package.json", r#"{"scripts": {"build": "x"}}"#),
                    ("web/package-lock.json", ""),
                    ("package.json", "{}"),
                ][..],
                &["web/package.json", "web/package-lock.json"][..],
            ),
            (
                "npm ci --ignore-scripts",
                &[("web/package.json", r#"{"scripts": {"prepare": "x"}}"#)],
                &["web/package.json"],
            ),
            ("yarn", &[("web/package.json", "{}"), ("web/yarn.lock", "")], &["web/package.json", "web/yarn.lock"]),
            (
                "pip install -r ./requirements.txt",
                &[("web/requirements.txt", "# x\nflask==3 # y\n--hash=z\n")],
                &["web/requirements.txt"],
            ),
            ("go mod download", &[("web/go.mod", "module x"), ("web/go.sum", "")], &["web/go.mod", "web/go.sum"]),
            ("bundle install", &[("web/Gemfile", "gem 'rails'")], &["web/Gemfile"]),
            ("mvn dependency:go-offline", &[("web/pom.xml", "<project/>")], &["web/pom.xml"]),
            (
                "composer install --no-scripts --no-autoloader",
                &[("web/composer.json", r#"{"autoload": {}}"#)],
                &["web/composer.json"],
            ),
            (
                "poetry install --no-root",
                &[("web/pyproject.toml", ""), ("web/poetry.lock", "")],
                &["web/pyproject.toml", "web/poetry.lock"],
            ),
        ] {
            assert_eq!(
                of(run, files).as_deref(),
                Some(expected.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref(),
                "{run}"
            );
        }
    }

    #[test]
    fn what_needs_more_is_left_alone() {
        for (run, files) in [
            ("npm ci", &[][..]),
            ("npm ci", &[("web/package.json", r#"{"scripts": {"postinstall": "patch-package"}}"#)]),
            ("npm ci", &[("web/package.json", r#"{"workspaces": ["a"]}"#)]),
            ("npm ci", &[("web/package.json", r#"{"dependencies": {"a": "file:../a"}}"#)]),
            ("npm ci", &[("web/package.json", "{")]),
            ("npm ci --prefix=api", &[("web/package.json", "{}")]),
            ("yarn install", &[("web/package.json", "{}"), ("web/.yarnrc.yml", "yarnPath: x")]),
            ("pnpm install", &[("web/package.json", "{}"), ("web/pnpm-workspace.yaml", "")]),
            ("pip install flask", &[]),
            ("pip install -r requirements.txt", &[("web/requirements.txt", "-e .")]),
            ("pip install -r requirements.txt", &[("web/requirements.txt", "-r more.txt")]),
            ("pip install -r a.txt -c b.txt", &[("web/a.txt", "x")]),
            ("go mod download", &[("web/go.mod", "replace x => ./x")]),
            ("bundle install", &[("web/Gemfile", "gemspec")]),
            ("composer install --no-scripts", &[("web/composer.json", r#"{"autoload": {}}"#)]),
            ("mvn dependency:resolve", &[("web/pom.xml", "<module>a</module>")]),
            ("cargo fetch", &[("web/Cargo.toml", ""), ("web/Cargo.lock", "")]),
        ] {
            assert_eq!(of(run, files), None, "{run} {files:?}");
        }
    }
}
