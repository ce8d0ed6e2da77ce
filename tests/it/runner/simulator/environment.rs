//! The variables of a step: `GitHubContext.cs`, `RunnerContext`, and what `ContainerActionHandler.cs` adds.

use std::collections::BTreeMap;

use super::directories::Directories;
use super::files::Files;

/// A push to the default branch. What says more of the job is set over it.
const PUSH: [(&str, &str); 34] = [
    ("GITHUB_ACTION", "__run"),
    ("GITHUB_ACTOR", "octocat"),
    ("GITHUB_ACTOR_ID", "1"),
    ("GITHUB_ACTION_REF", ""),
    ("GITHUB_ACTION_REPOSITORY", ""),
    ("GITHUB_API_URL", "https://api.github.com"),
    ("GITHUB_BASE_REF", ""),
    ("GITHUB_EVENT_NAME", "push"),
    ("GITHUB_GRAPHQL_URL", "https://api.github.com/graphql"),
    ("GITHUB_HEAD_REF", ""),
    ("GITHUB_JOB", "build"),
    ("GITHUB_REF", "refs/heads/main"),
    ("GITHUB_REF_NAME", "main"),
    ("GITHUB_REF_PROTECTED", "false"),
    ("GITHUB_REF_TYPE", "branch"),
    ("GITHUB_REPOSITORY", "org/watchparty"),
    ("GITHUB_REPOSITORY_ID", "2"),
    ("GITHUB_REPOSITORY_OWNER", "org"),
    ("GITHUB_REPOSITORY_OWNER_ID", "3"),
    ("GITHUB_RETENTION_DAYS", "90"),
    ("GITHUB_RUN_ATTEMPT", "1"),
    ("GITHUB_RUN_ID", "7"),
    ("GITHUB_RUN_NUMBER", "7"),
    ("GITHUB_SERVER_URL", "https://github.com"),
    ("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567"),
    ("GITHUB_TRIGGERING_ACTOR", "octocat"),
    ("GITHUB_WORKFLOW", "Build"),
    ("GITHUB_WORKFLOW_REF", "org/watchparty/.github/workflows/build.yml@refs/heads/main"),
    ("GITHUB_WORKFLOW_SHA", "0123456789abcdef0123456789abcdef01234567"),
    ("RUNNER_ARCH", "X64"),
    ("RUNNER_ENVIRONMENT", "self-hosted"),
    ("RUNNER_NAME", "runner-1"),
    ("RUNNER_OS", "Linux"),
    ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
];

/// Everything but the inputs, with the host's paths.
pub(super) fn of(directories: &Directories, files: &Files) -> BTreeMap<String, String> {
    let event = directories.workflow().join("event.json");
    // The parent of the workspace; not a path that is translated.
    let parent = directories.workspace.parent().unwrap_or(&directories.workspace);
    let paths = [
        ("GITHUB_EVENT_PATH", event.as_path()),
        ("GITHUB_WORKSPACE", &directories.workspace),
        ("HOME", &directories.home()),
        ("RUNNER_TEMP", &directories.temp),
        ("RUNNER_WORKSPACE", parent),
    ]
    .map(|(name, path)| (name.to_owned(), path.display().to_string()));
    PUSH.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .chain(paths)
        .chain(files.variables().map(|(name, path)| (name.to_owned(), path.display().to_string())))
        .collect()
}
