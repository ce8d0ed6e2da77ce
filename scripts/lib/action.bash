# Running the program as a step of a GitHub workflow.
# shellcheck shell=bash

# Compiles the program and prints its path. WATCHPARTY_PROGRAM names one that exists already.
build_program() {
    if [[ -z ${WATCHPARTY_PROGRAM:-} ]]; then
        need_compiler
        (cd "$REPO" && cargo build --release --locked >&2)
    fi
    printf '%s\n' "${WATCHPARTY_PROGRAM:-${CARGO_TARGET_DIR:-$REPO/target}/release/watchparty-cache}"
}

# prepare_step DIRECTORY WORKSPACE INPUT=VALUE…: sets STEP to the command that runs PROGRAM on
# the engine at ADDRESS with what the runner sets, and nothing else. It is to be called in the
# workspace, a Git repository, and leaves in DIRECTORY what the runner would read.
prepare_step() {
    local directory=$1 workspace=$2 input name
    shift 2
    mkdir -p "$directory"
    for name in summary.md outputs state environment; do
        : >"$directory/$name"
    done
    STEP=(env --ignore-environment
        PATH="$PATH" HOME="$HOME" DOCKER_HOST="$ADDRESS"
        CI=true GITHUB_ACTIONS=true GITHUB_REPOSITORY=example/watchparty
        GITHUB_SERVER_URL=https://github.com GITHUB_RUN_ID=1 GITHUB_RUN_ATTEMPT=1 GITHUB_JOB=build
        GITHUB_EVENT_NAME=push GITHUB_REF=refs/heads/main GITHUB_REF_NAME=main
        GITHUB_SHA="$(git -C "$workspace" rev-parse HEAD)" GITHUB_WORKSPACE="$workspace"
        GITHUB_STEP_SUMMARY="$directory/summary.md" GITHUB_OUTPUT="$directory/outputs"
        GITHUB_STATE="$directory/state" GITHUB_ENV="$directory/environment"
        RUNNER_OS=Linux RUNNER_TEMP="$directory" RUNNER_ENVIRONMENT=self-hosted)
    for name in DOCKER_TLS_VERIFY DOCKER_CERT_PATH RUNNER_DEBUG; do
        [[ -z ${!name:-} ]] || STEP+=("$name=${!name}")
    done
    for input in "$@"; do
        name=${input%%=*}
        STEP+=("INPUT_${name^^}=${input#*=}")
    done
    STEP+=("$PROGRAM")
}

# output DIRECTORY NAME: an output of that step, in either form that the runner reads.
output() {
    awk -v name="$2" '
        delimiter != "" && $0 == delimiter { delimiter = ""; next }
        delimiter != "" { if (wanted) value = value (value == "" ? "" : "\n") $0; next }
        match($0, /^[A-Za-z0-9_-]+<</) {
            wanted = substr($0, 1, RLENGTH - 2) == name
            delimiter = substr($0, RLENGTH + 1)
            if (wanted) value = ""
            next
        }
        index($0, name "=") == 1 { value = substr($0, length(name) + 2) }
        END { print value }
    ' "$1/outputs"
}

# copy_example DIRECTORY: the example as a Git repository of its own.
copy_example() {
    cp -r "$REPO/examples/watchparty/." "$1"
    git -C "$1" init --quiet --initial-branch=main
    commit_all "$1" "The watch party"
}

commit_all() {
    git -C "$1" add --all
    git -C "$1" -c user.name=demo -c user.email=demo@example.org -c commit.gpgsign=false \
        commit --quiet --message "$2"
}
