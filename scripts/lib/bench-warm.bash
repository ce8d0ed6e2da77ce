# The cases of scripts/bench in which nothing is lost between builds.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables shared with scripts/bench

WARM_CASES=(example steps first changed)

head_of_warm() {
    echo '| engine | case | docker | ours | ratio | memory: docker | ours |'
    echo '|---|---|--:|--:|--:|--:|--:|'
}

compare_warm() {
    local engine=$1 case=$2 round side turns=(theirs ours)
    warm_up "$case"
    for ((round = 1; round <= rounds; round++)); do
        log "$engine, $case: round $round of $rounds"
        for side in "${turns[@]}"; do
            prepare_round "$case" "$side"
            run "$case" "$side"
            keep_run "$engine" "$case" "$side" "$round"
        done
        # Each goes first in every other round.
        turns=("${turns[1]}" "${turns[0]}")
    done
    # Memory in a run of its own: to watch it costs time.
    for side in "${turns[@]}"; do
        prepare_round "$case" "$side"
        watch_memory=true run "$case" "$side"
        echo "$peak" >"$work/$side.peak"
    done
    add_warm_row "$engine" "$case"
}

# What is not changed was built once before, by each side; and so were the files that one changes of.
warm_up() {
    local side
    for side in theirs ours; do
        if [[ $1 != first ]]; then
            run "$1" "$side"
            # Once more: some things settle only at the second build.
            run "$1" "$side"
        fi
    done
}

prepare_round() {
    case $1 in
        changed) echo "$RANDOM$RANDOM$RANDOM" >"$work/files/$2/7/file-aa" ;;
        first)
            peer image rm --force "many-$2:latest" >/dev/null 2>&1 || true
            prune_builder
            ;;
    esac
}

# run CASE SIDE: sets `seconds`, and `peak` in KiB if `watch_memory` is true.
run() {
    local case=$1 side=$2 directory command begin end pid=0
    case $case in
        example | steps) directory=$work/$case/$side ;;
        first | changed) directory=$work/files/$side ;;
    esac
    command_of "$case" "$side" "$directory"
    begin=$EPOCHREALTIME
    (cd "$directory" && exec "${command[@]}") </dev/null >"$work/log" 2>&1 &
    pid=$!
    if [[ ${watch_memory:-false} == true ]]; then
        peak_of "$pid"
    fi
    if ! wait "$pid"; then
        tail -n 30 "$work/log" >&2
        die "the build failed: ${command[*]}"
    fi
    end=$EPOCHREALTIME
    seconds=$(awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.3f", b - a }')
}

# Sets `command`.
command_of() {
    local case=$1 side=$2 directory=$3
    case $side-$case in
        ours-example)
            prepare_step "$work/step" "$directory" mode=build compose-file=compose.yaml
            command=("${STEP[@]}")
            ;;
        ours-*)
            prepare_step "$work/step" "$directory" mode=build context=. "tags=$(tag_of "$case" "$side")"
            command=("${STEP[@]}")
            ;;
        theirs-example)
            command=(env DOCKER_CONFIG="$PEERS" DOCKER_HOST="$ADDRESS"
                GIT_COMMIT_HASH="$(git -C "$directory" rev-parse HEAD)"
                "$PEERS/docker" compose --progress quiet build)
            ;;
        theirs-*)
            command=(env DOCKER_CONFIG="$PEERS" DOCKER_HOST="$ADDRESS"
                "$PEERS/docker" buildx build --quiet --tag "$(tag_of "$case" "$side")" .)
            ;;
    esac
}

tag_of() {
    case $1 in
        steps) echo "steps-$2:latest" ;;
        *) echo "many-$2:latest" ;;
    esac
}

# Sets `peak`: the high-water mark in KiB of the largest process among PID and those below it,
# as long as PID runs. Docker's client starts its plugins as processes of their own.
peak_of() {
    local queue pid key value _ running=true
    peak=0
    while [[ $running == true ]]; do
        running=false queue=("$1")
        while [[ ${#queue[@]} -gt 0 ]]; do
            pid=${queue[0]}
            # shellcheck disable=SC2207  # process ids
            queue=("${queue[@]:1}" $(cat /proc/"$pid"/task/*/children 2>/dev/null || true))
            while read -r key value _; do
                if [[ $key == VmHWM: ]]; then
                    [[ $pid != "$1" ]] || running=true
                    ((value <= peak)) || peak=$value
                fi
            done < <(cat "/proc/$pid/status" 2>/dev/null || true)
        done
        sleep 0.05
    done
}

add_warm_row() {
    local theirs ours
    theirs=$(values "$1" "$2" theirs 5 | median) ours=$(values "$1" "$2" ours 5 | median)
    add_row warm "$(awk -v engine="$(engine_title "$1")" -v title="$(warm_title "$2")" -v theirs="$theirs" -v ours="$ours" \
        -v theirs_peak="$(cat "$work/theirs.peak")" -v ours_peak="$(cat "$work/ours.peak")" 'BEGIN {
            printf "| %s | %s | %.2f | %.2f | **%.2f** | %d MB | %d MB |", engine, title, theirs, ours, ours / theirs,
                theirs_peak * 1.024 / 1000, ours_peak * 1.024 / 1000
        }')"
}

# shellcheck disable=SC2016  # Markdown, not commands
warm_title() {
    case $1 in
        example) echo 'the example, nothing changed (`compose build`)' ;;
        steps) echo 'five steps, nothing changed (`buildx build`)' ;;
        first) echo '20,000 files, 329 MB, first time (`buildx build`)' ;;
        changed) echo '20,000 files, one changed (`buildx build`)' ;;
    esac
}
