# Checks of workflows, action.yml, Dockerfiles and scripts, with linters that are pinned in lib/checks.
# Needs lib/common.bash and lib/tools.bash, and a function `note` that keeps a text for the end.
# shellcheck shell=bash

check_scripts() {
    local scripts
    need_check_tools
    # Those that are run, and those that are sourced.
    mapfile -t scripts < <(grep --recursive --files-with-matches --line-regexp --regexp='#!/usr/bin/env bash' \
        --regexp='# shellcheck shell=bash' .ci scripts)
    shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
}

check_dockerfiles() {
    local dockerfiles
    need_check_tools
    mapfile -t dockerfiles < <(find . -path ./target -prune -o -type f \( -name Dockerfile -o -name '*.Dockerfile' \) -print)
    hadolint "${dockerfiles[@]}"
}

# The workflows of the repository, those of the example, and those that the documentation shows for copying.
check_workflows() {
    local copies status=0
    need_check_tools
    copies=$(mktemp -d)
    copy_workflows "$copies" README.md docs/*.md
    copy_example "$copies"
    check_workflows_in . || status=1
    check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml || status=1
    check_workflows_in "$copies" || { status=1; log "workflows of the documentation and the example are in $copies"; }
    ((status)) || rm -rf "$copies"
    return "$status"
}

# check_workflows_in DIRECTORY: every check says what it finds before any fails.
check_workflows_in() (
    local status=0
    cd "$1" || return
    # With shellcheck for `run:`, and action.yml for what `uses: ./` is given.
    actionlint || status=1
    zizmor --offline --no-progress --quiet --config "$REPO/.github/zizmor.yml" . || status=1
    check-jsonschema --builtin-schema vendor.github-actions action.yml || status=1
    check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml || status=1
    node "$CHECK_TOOLS/validate.cjs" action.yml .github/workflows/*.yml || status=1
    return "$status"
)

# copy_workflows DIRECTORY MARKDOWN…: the workflows and lists of steps in them, as a repository whose own action is ours.
copy_workflows() {
    local directory=$1 file
    shift
    mkdir -p "$directory/.github/workflows"
    git init --quiet "$directory"
    cp action.yml Dockerfile "$directory"
    cp .github/actionlint.yaml "$directory/.github"
    for file in "$@"; do
        awk -v prefix="$directory/.github/workflows/$(basename "$file" .md)-" '
            /^```yaml$/ { inside = 1; text = ""; first = ""; next }
            inside && /^```$/ { inside = 0; write(); next }
            inside { if (first == "" && !/^#/) first = $0; text = text $0 "\n" }
            function write(    name) {
                gsub(/uses: org\/watchparty-cache@v1/, "uses: ./", text)
                if (first ~ /^- /) {
                    gsub(/\n/, "\n      ", text)
                    text = "name: Steps\non: workflow_dispatch\npermissions: {}\nconcurrency: steps\njobs:\n  steps:\n" \
                        "    name: Steps\n    runs-on: ubuntu-24.04\n    steps:\n      " text "\n"
                } else if (first !~ /^name: / || text !~ /\njobs:/) {
                    return
                }
                name = prefix (++count) ".yml"
                printf "%s", text >name
                close(name)
            }
        ' "$file"
        # A text that is about the action and shows none of it would be checked for nothing.
        if grep --quiet 'uses: org/watchparty-cache@v1' "$file" &&
            ! grep --quiet --no-messages 'uses: \./' "$directory/.github/workflows/$(basename "$file" .md)"-*; then
            die "no workflow was found in $file"
        fi
    done
}

# copy_example DIRECTORY: its workflows, as those of the documentation.
copy_example() {
    local file
    for file in examples/watchparty/.github/workflows/*.yml; do
        sed 's#uses: org/watchparty-cache@v1#uses: ./#' "$file" >"$1/.github/workflows/example-$(basename "$file")"
    done
}

check_dependencies() {
    need_cargo_tool cargo-deny "$CARGO_DENY"
    cargo deny --log-level error --locked check bans licenses sources
    # The advisories lie in a Git repository, which not every machine can reach; a runner of GitHub can.
    if cargo deny --log-level error --locked fetch db; then
        cargo deny --log-level error --locked check --disable-fetch advisories
    elif [[ ${GITHUB_ACTIONS:-} == true ]]; then
        log 'advisories not checked: their database could not be reached'
        return 1
    else
        note 'advisories not checked: their database could not be reached'
    fi
}
