//! `scripts/release`, in repositories of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{Programs, files, repository, text};

const NAME: &str = "ghcr.io/org/watchparty-cache";
const DIGESTS: [&str; 2] = [
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
];
const IMAGE: &str =
    "ghcr.io/org/watchparty-cache:v1.2.3@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A repository with a version to release, cloned from a remote of its own.
struct Project {
    directory: TempDir,
}

impl Project {
    fn new(version: &str) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        project.git_in("", &["init", "--quiet", "--bare", "remote"]);
        project.git_in("", &["init", "--quiet", "--initial-branch=main", "clone"]);
        project.git(&["remote", "add", "origin", "../remote"]);
        fs::copy(repository().join("action.yml"), project.path("action.yml")).unwrap();
        project.set_version(version);
        project
    }

    /// A commit with this version in `Cargo.toml`, and its section in the changelog.
    fn set_version(&self, version: &str) {
        let dependency = "\n[dependencies]\nother = \"1\"\nversion = \"9.9.9\"\n";
        fs::write(self.path("Cargo.toml"), format!("[package]\nname = \"x\"\nversion = \"{version}\"\n{dependency}"))
            .unwrap();
        let changelog = format!(
            "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [{version}] - 2026-11-23\n\n### Added\n\n- This.\n\n## [0.0.1]\n\n- First.\n"
        );
        fs::write(self.path("CHANGELOG.md"), changelog).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", version]);
        self.git(&["push", "--quiet", "origin", "main"]);
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("clone").join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_in("clone", arguments)
    }

    fn git_in(&self, directory: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.directory.path().join(directory))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn try_release(&self, arguments: &[&str]) -> Output {
        run(&self.path(""), arguments)
    }

    fn release(&self, arguments: &[&str]) -> String {
        let output = self.try_release(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Why a step refuses.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.try_release(arguments);
        assert!(!output.status.success(), "{arguments:?} was not refused");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Version, tag and moved tags, as the workflow does it; what it says of tags that stay.
    fn publish(&self, version: &str) -> String {
        self.set_version(version);
        self.release(&["tag", IMAGE]);
        let moved = self.try_release(&["move"]);
        let said = String::from_utf8(moved.stderr).unwrap();
        assert!(moved.status.success(), "{said}");
        said
    }

    /// The commit that a tag of the remote leads to.
    fn remote(&self, tag: &str) -> String {
        self.git_in("remote", &["rev-parse", &format!("refs/tags/{tag}^{{commit}}")])
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    run_with(&Programs::new(), directory, arguments)
}

fn run_with(programs: &Programs, directory: &Path, arguments: &[&str]) -> Output {
    Command::new(repository().join("scripts/release"))
        .args(arguments)
        .env("PATH", programs.path())
        .env_remove("GITHUB_ACTIONS")
        .env("WATCHPARTY_RELEASE_REPOSITORY", directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap()
}

#[test]
fn the_version_and_its_notes() {
    let project = Project::new("1.2.3");
    assert_eq!(project.release(&["version"]), "1.2.3\n");
    assert_eq!(project.release(&["notes"]), "### Added\n\n- This.\n");
    assert_eq!(project.release(&["name", "Some-Org/Watchparty-Cache"]), "ghcr.io/some-org/watchparty-cache\n");

    project.release(&["tag", IMAGE]);
    assert!(project.refusal(&["version"]).contains("v1.2.3 is released already"));

    fs::write(project.path("CHANGELOG.md"), "## [Unreleased]\n\n- That.\n\n## [1.2.3]\n\n## [1.2.2]\n\n- Old.\n")
        .unwrap();
    assert!(project.refusal(&["notes"]).contains("no section '## [1.2.3]' with a text"));
    fs::write(project.path("Cargo.toml"), "[package]\nversion = \"1.2\"\n").unwrap();
    assert!(project.refusal(&["version"]).contains("no version that can be released: '1.2'"));
}

/// The repository's own `action.yml`: all of it but one line stays.
#[test]
fn the_rewritten_action() {
    let output = run(repository(), &["action", IMAGE]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = text("action.yml").replace("\n  image: Dockerfile\n", &format!("\n  image: docker://{IMAGE}\n"));
    assert_ne!(expected, text("action.yml"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    let project = Project::new("1.2.3");
    let (tagged, _) = IMAGE.split_once('@').unwrap();
    for image in [
        tagged,
        "watchparty-cache",
        &IMAGE.replace("sha256", "sha512"),
        &IMAGE[..IMAGE.len() - 1],
        &format!("{IMAGE} # x"),
    ] {
        assert!(project.refusal(&["action", image]).contains("an image with its host and digest is needed"), "{image}");
    }
    fs::write(project.path("action.yml"), "runs:\n  image: docker://x\n").unwrap();
    assert!(project.refusal(&["action", IMAGE]).contains("has not one line '  image: Dockerfile'"));
}

#[test]
fn a_tag_is_a_commit_beside_the_branch() {
    let project = Project::new("1.2.3");
    let head = project.git(&["rev-parse", "HEAD"]);
    project.release(&["tag", IMAGE]);

    // Nothing moved here, and the remote's branch has no such commit.
    assert_eq!(project.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
    assert_eq!(project.git_in("remote", &["rev-parse", "main"]), head);
    // What people get is this commit with one line changed.
    assert_eq!(project.git_in("remote", &["rev-parse", "v1.2.3^{commit}^"]), head);
    let changed = project.git_in("remote", &["diff", "--numstat", "main", "v1.2.3"]);
    assert_eq!(changed, "1\t1\taction.yml");
    let action = project.git_in("remote", &["show", "v1.2.3:action.yml"]);
    assert!(action.contains(&format!("\n  image: docker://{IMAGE}\n")), "{action}");

    fs::write(project.path("stray"), "").unwrap();
    assert!(project.refusal(&["tag", IMAGE]).contains("the work tree has changes"));
}

/// A run that failed behind it is run again.
#[test]
fn a_tag_that_is_there_stays() {
    let project = Project::new("1.2.3");
    project.release(&["tag", IMAGE]);
    let tag = project.git_in("remote", &["rev-parse", "refs/tags/v1.2.3"]);
    project.release(&["tag", IMAGE]);
    // As in a clone that knows nothing of it.
    project.git(&["tag", "--delete", "v1.2.3"]);
    project.release(&["tag", IMAGE]);
    assert_eq!(project.git_in("remote", &["rev-parse", "refs/tags/v1.2.3"]), tag);
    // Made, and then the push failed.
    project.git_in("remote", &["update-ref", "-d", "refs/tags/v1.2.3"]);
    project.release(&["tag", IMAGE]);
    assert_eq!(project.git_in("remote", &["rev-parse", "refs/tags/v1.2.3"]), tag);

    let other = IMAGE.replace("sha256:0", "sha256:1");
    assert!(project.refusal(&["tag", &other]).contains("there is a v1.2.3 already, and it is another"));
    project.git(&["commit", "--quiet", "--allow-empty", "--message", "Later"]);
    assert!(project.refusal(&["tag", IMAGE]).contains("there is a v1.2.3 already, and it is another"));
    assert_eq!(project.git_in("remote", &["rev-parse", "refs/tags/v1.2.3"]), tag);
}

/// As an engine with a graph driver: it takes a digest for one platform only.
const DOCKER: &str = r#"
case "$1" in
    create)
        [[ $2/$3 == --quiet/--platform ]]
        if [[ -e ${5##*:} && $(cat "${5##*:}") != "$4" ]]; then echo 'cannot overwrite digest' >&2; exit 1; fi
        echo "$4" >"${5##*:}"
        echo "$5" >>created
        echo "${4#linux/}"
        ;;
    cp) [[ $2/${3#*:} == --quiet//watchparty-cache ]] && echo "the program of ${3%%:*}" >"$4" ;;
    rm) ;;
    manifest)
        ls -A "$DOCKER_CONFIG" >>logins
        [[ $2/$3 == inspect/ghcr.io/org/watchparty-cache@sha256:aa* ]]
        ;;
    build) echo "$*" >>built ;;
    image)
        case $2 in
            inspect) [[ $5 == *:again && -e other ]] && echo 'sha256:c sha256:e' || echo 'sha256:c sha256:d' ;;
            rm) echo "$3" >>removed ;;
        esac
        ;;
    buildx) [[ $2/$3 == imagetools/inspect ]] && printf 'Name: %s\nDigest:    sha256:%064d\n\nDigest: none\n' "$4" "${#4}" ;;
    *) exit 9 ;;
esac"#;

#[test]
fn the_programs_are_those_of_each_platform() {
    let (project, programs) = (Project::new("1.2.3"), Programs::new());
    programs.add("docker", DOCKER);
    let target = project.path("programs");
    let output =
        run_with(&programs, &project.path(""), &["binaries", NAME, target.to_str().unwrap(), DIGESTS[0], DIGESTS[1]]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(programs.read("created"), DIGESTS.map(|digest| format!("{NAME}@{digest}\n")).concat());
    let read = |name: &str| fs::read_to_string(target.join(name)).unwrap();
    assert_eq!(read("watchparty-cache-linux-amd64"), "the program of amd64\n");
    assert_eq!(read("watchparty-cache-linux-arm64"), "the program of arm64\n");
    let sums = read("SHA256SUMS");
    let names: Vec<&str> = sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    assert_eq!(names, ["watchparty-cache-linux-amd64", "watchparty-cache-linux-arm64"]);

    // What the index would do.
    let output =
        run_with(&programs, &project.path(""), &["binaries", NAME, target.to_str().unwrap(), DIGESTS[0], DIGESTS[0]]);
    assert!(!output.status.success());
    let output =
        run_with(&programs, &project.path(""), &["binaries", NAME, target.to_str().unwrap(), DIGESTS[0], "latest"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is no digest: 'latest'"));
}

#[test]
fn an_image_that_is_built_again_has_the_same_layers() {
    let (project, programs) = (Project::new("1.2.3"), Programs::new());
    programs.add("docker", DOCKER);
    let again = || run_with(&programs, &project.path(""), &["again", "image"]);
    let output = again();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(programs.read("built").starts_with("build --no-cache "), "{}", programs.read("built"));
    fs::write(programs.directory.path().join("other"), "").unwrap();
    let output = again();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("has other layers: sha256:c sha256:e, and not sha256:c sha256:d"), "{said}");
    assert_eq!(programs.read("removed"), "watchparty-cache:again\n".repeat(2));
}

#[test]
fn what_needs_a_login_is_not_public() {
    let (project, programs) = (Project::new("1.2.3"), Programs::new());
    programs.add("docker", DOCKER);
    assert!(run_with(&programs, &project.path(""), &["public", NAME, DIGESTS[0]]).status.success());
    let output = run_with(&programs, &project.path(""), &["public", NAME, DIGESTS[1]]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("make the package public"));
    assert_eq!(programs.read("logins"), "", "it was asked with the settings of somebody");
}

#[test]
fn a_release_is_made_once() {
    let (project, programs) = (Project::new("1.2.3"), Programs::new());
    programs.add("docker", DOCKER);
    let target = project.path("programs");
    run_with(&programs, &project.path(""), &["binaries", NAME, target.to_str().unwrap(), DIGESTS[0], DIGESTS[1]]);
    let publish = |state: &str| {
        let view = r#"if [[ $1/$2 == release/view ]]; then STATE; fi; echo "$1 $2 $3${4:+ $4}" >>said"#;
        programs.add("gh", &view.replace("STATE", state));
        let _ = fs::remove_file(programs.directory.path().join("said"));
        let output = run_with(&programs, &project.path(""), &["publish", "programs"]);
        (output.status.success(), programs.read("said"))
    };
    let all = "release edit v1.2.3 --draft=false\n";
    assert_eq!(publish("exit 1"), (true, format!("release create v1.2.3 --verify-tag\n{all}")));
    assert_eq!(publish("echo true; exit"), (true, format!("release upload v1.2.3 --clobber\n{all}")));
    assert_eq!(publish("echo false; exit"), (true, String::new()));
    assert_eq!(publish("echo what; exit"), (false, String::new()));

    fs::write(project.path("programs/watchparty-cache-linux-arm64"), "another").unwrap();
    assert_eq!(publish("exit 1"), (false, String::new()));
}

/// In a copy of what names base images.
#[test]
fn base_images_get_their_digests() {
    let (project, programs) = (Project::new("1.2.3"), Programs::new());
    programs.add("docker", DOCKER);
    let named = [
        "Dockerfile",
        "scripts/lib/release/Dockerfile",
        ".github/workflows/ci.yml",
        ".github/workflows/end-to-end.yml",
    ];
    // Whether the repository's own have digests by now or not.
    for name in named {
        fs::create_dir_all(project.path(name).parent().unwrap()).unwrap();
        fs::write(project.path(name), bases(&text(name), |image| image.split('@').next().unwrap().to_owned())).unwrap();
    }
    let warned = || String::from_utf8(project.try_release(&["version"]).stderr).unwrap();
    let warnings = warned();
    assert!(named[..2].iter().all(|name| warnings.contains(&format!(" has no digest in {name}: "))), "{warnings}");
    assert_eq!(warnings.lines().count(), 2, "{warnings}");

    // The second time finds them and writes the same.
    for _ in 0..2 {
        let output = run_with(&programs, &project.path(""), &["pin"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for name in named {
            let expected = bases(&text(name), |image| {
                let tagged = image.split('@').next().unwrap();
                format!("{tagged}@sha256:{:064}", tagged.len())
            });
            let pinned = fs::read_to_string(project.path(name)).unwrap();
            assert!(pinned.contains("@sha256:"), "{pinned}");
            assert_eq!(pinned, expected);
        }
    }
    assert_eq!(warned(), "");
}

/// A Dockerfile or a workflow with its base images as `change` has them.
fn bases(text: &str, change: impl Fn(&str) -> String) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let named = line.strip_prefix("FROM ").or_else(|| line.trim_start().strip_prefix("image: "));
            match named.and_then(|named| named.split_whitespace().next()).filter(|image| image.contains(':')) {
                Some(image) => line.replace(image, &change(image)),
                None => line.to_owned(),
            }
        })
        .collect()
}

/// Every base image of a Dockerfile that Dependabot is to raise stands in a `FROM`: it reads no `ARG`.
#[test]
fn base_images_are_where_dependabot_finds_them() {
    let dependabot = text(".github/dependabot.yml");
    assert!(dependabot.contains("directories: [/, /scripts/lib/release]"), "{dependabot}");
    for name in ["Dockerfile", "scripts/lib/release/Dockerfile"] {
        let text = text(name);
        assert!(!text.lines().any(|line| line.starts_with("ARG") && line.contains(':')), "{text}");
        assert!(text.lines().any(|line| line.starts_with("FROM ") && line.contains(':')), "{text}");
    }
}

/// What stands in the repository now can be released, and is the version that the documentation speaks of.
#[test]
fn the_version_of_the_repository() {
    let output = run(repository(), &["notes"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let changelog = text("CHANGELOG.md");
    let mut sections = changelog.lines().filter(|line| line.starts_with("## "));
    assert_eq!(sections.next(), Some("## [Unreleased]"));
    assert!(sections.next().unwrap().starts_with(concat!("## [", env!("CARGO_PKG_VERSION"), "]")));
    let used = format!("uses: org/watchparty-cache@v{}\n", env!("CARGO_PKG_VERSION_MAJOR"));
    for page in files("docs", ".md").into_iter().chain(["README.md".into()]) {
        let text = text(&page);
        assert_eq!(
            text.matches("uses: org/watchparty-cache@").count(),
            text.matches(&used).count(),
            "{}",
            page.display()
        );
    }
}

#[test]
fn moving_tags_follow_the_newest_version() {
    let project = Project::new("0.0.1");
    project.publish("1.2.9");
    assert_eq!((project.remote("v1"), project.remote("v1.2")), (project.remote("v1.2.9"), project.remote("v1.2.9")));

    // Ten is more than nine, and a new minor version has a tag of its own.
    project.publish("1.2.10");
    assert_eq!((project.remote("v1"), project.remote("v1.2")), (project.remote("v1.2.10"), project.remote("v1.2.10")));
    project.publish("1.10.0");
    assert_eq!((project.remote("v1"), project.remote("v1.10")), (project.remote("v1.10.0"), project.remote("v1.10.0")));
    assert_eq!(project.remote("v1.2"), project.remote("v1.2.10"));

    // A fix of an older line moves that line alone.
    assert_eq!(project.publish("1.2.11"), "v1 stays at 1.10.0\n");
    assert_eq!((project.remote("v1"), project.remote("v1.2")), (project.remote("v1.10.0"), project.remote("v1.2.11")));

    // Nobody gets a pre-release without asking for it.
    assert_eq!(project.publish("1.11.0-rc.1"), "v1.11.0-rc.1 is a pre-release: v1 stays where it is\n");
    assert_eq!(project.remote("v1"), project.remote("v1.10.0"));
    project.publish("2.0.0");
    assert_eq!((project.remote("v1"), project.remote("v2")), (project.remote("v1.10.0"), project.remote("v2.0.0")));
    // Moving once more changes nothing.
    project.release(&["move"]);
    assert_eq!(project.remote("v2.0"), project.remote("v2.0.0"));
}
