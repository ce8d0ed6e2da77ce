# The cases of scripts/bench in which the builder cache is pruned before every build.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables shared with scripts/bench

PRUNED_CASES=(pruned pruned-backend pruned-frontend pruned-stages)
# `kept` is ours as well, and loses nothing.
CONTENDERS=(ours kept compose compose-inline buildx buildx-inline)

# shellcheck disable=SC2016  # Markdown, not commands
head_of_pruned() {
    echo '| engine | project | ours | nothing pruned | `compose build` | with inline records | `buildx build` | with inline records |'
    echo '|---|---|--:|--:|--:|--:|--:|--:|'
}

pruned_title() {
    case $1 in
        pruned) echo 'the example' ;;
        pruned-backend) echo 'its backend' ;;
        pruned-frontend) echo 'its frontend' ;;
        pruned-stages) echo 'three stages' ;;
    esac
}

# The services of a case. Each one's context is the directory of its name.
services_of() {
    case $1 in
        pruned) echo backend frontend ;;
        pruned-stages) echo app ;;
        *) echo "${1#pruned-}" ;;
    esac
}

compare_pruned() {
    local engine=$1 case=$2 round who turns=("${CONTENDERS[@]}")
    log "$engine, $case: everybody's first build"
    for who in "${turns[@]}"; do
        generation_of "$case" "$who" || fail_build "$case, $who: the first build"
    done
    for ((round = 1; round <= rounds; round++)); do
        log "$engine, $case: generation $round of $rounds"
        for who in "${turns[@]}"; do
            play_turn "$engine" "$case" "$who" "$round"
        done
        turns=("${turns[@]:1}" "${turns[0]}")
    done
    add_pruned_row "$engine" "$case"
}

# An engine may fail a build right after a prune, whoever asks for it: such a run is told in the
# end, and does not end an hour's work.
play_turn() {
    local engine=$1 case=$2 who=$3 round=$4
    if ! lose_and_build "$case" "$who"; then
        failures+=("$engine, $case, $who, generation $round: $(tail -n 1 "$work/log")")
        lose_and_build "$case" "$who" || fail_build "$case, $who, generation $round"
    fi
    keep_run "$engine" "$case" "$who" "$round" "$cached" "$total"
}

lose_and_build() {
    local case=$1 who=$2
    prune_builder || return
    if [[ $who == kept ]]; then
        # The builder cache is filled again, so that the next commit finds it.
        generation_of "$case" "$who" || return
    fi
    change_code "$work/$case/$who"
    generation_of "$case" "$who"
}

fail_build() {
    tail -n 30 "$work/log" >&2
    die "a build failed: $1"
}

# generation_of CASE WHO: builds what is there, and sets `seconds`, `cached` and `total`.
generation_of() {
    local case=$1 who=$2 directory=$work/$1/$2 before after services commit
    read -ra services <<<"$(services_of "$case")"
    before=$(ids_of "$case" "$who")
    commit=$(git -C "$directory" rev-parse HEAD)
    case $who in
        ours | kept)
            prepare_step "$work/step" "$directory" mode=build compose-file=compose.yaml \
                "services=$(IFS=,; echo "${services[*]}")"
            measure "$directory" "${STEP[@]}" || return
            cached=$(output "$work/step" steps-cached) total=$(output "$work/step" steps-total)
            ;;
        *)
            export GIT_COMMIT_HASH=$commit
            measure "$directory" "build_with_${who%-inline}" "$case" "$who" "${services[@]}" || return
            count_steps
            # As for us, whose own superseded images go: else the disk fills up.
            after=$(ids_of "$case" "$who")
            remove_superseded "$before" "$after"
            ;;
    esac
}

build_with_compose() {
    local case=$1 who=$2 options=()
    shift 2
    [[ $who != *-inline ]] || options=(--build-arg BUILDKIT_INLINE_CACHE=1)
    peer compose --progress plain build "${options[@]}" "$@"
}

build_with_buildx() {
    local case=$1 who=$2 service options=()
    shift 2
    [[ $who != *-inline ]] || options=(--build-arg BUILDKIT_INLINE_CACHE=1)
    for service in "$@"; do
        peer buildx build --progress plain --build-arg GIT_COMMIT_HASH "${options[@]}" \
            --cache-from "$case-$who-$service:latest" --tag "$case-$who-$service:latest" "$service" || return
        echo "bench: built $service"
    done
}

# Sets `cached` and `total` from the progress in $work/log: Dockerfile steps as we count them, so
# without the builder's own and without FROM.
count_steps() {
    read -r cached total < <(awk '
        /^bench: built / { service = $3 }
        $1 ~ /^#[0-9]+$/ && match($0, /\[[^]]*[0-9]+\/[0-9]+\] /) && $0 ~ /^#[0-9]+ \[/ {
            if (substr($0, RSTART + RLENGTH) !~ /^FROM /) {
                key = service " " substr($0, RSTART, RLENGTH)
                step[service $1] = key
                steps[key]
            }
        }
        $2 == "CACHED" && (service $1) in step { hits[step[service $1]] }
        END { print length(hits), length(steps) }
    ' "$work/log")
}

ids_of() {
    local service
    for service in $(services_of "$1"); do
        peer image inspect --format '{{ .Id }}' "$1-$2-$service:latest" 2>/dev/null || true
    done
}

remove_superseded() {
    local id
    for id in $1; do
        [[ $2 == *"$id"* ]] || peer image rm "$id" >/dev/null 2>&1 || true
    done
}

add_pruned_row() {
    local engine=$1 case=$2 who row ours
    ours=$(values "$engine" "$case" ours 5 | median)
    row="| $(engine_title "$engine") | $(pruned_title "$case") |"
    for who in "${CONTENDERS[@]}"; do
        row+=" $(cell "$engine" "$case" "$who" "$ours") |"
    done
    add_row pruned "$row"
}

# cell ENGINE CASE WHO OURS: seconds, cached steps, and the ratio to theirs. Where not every
# generation had as many steps cached, those of each are there; and since a median of hits and
# misses is the one or the other, the seconds are then a mean, marked ⌀.
cell() {
    local seconds cached total mark=
    cached=$(values "$1" "$2" "$3" 6 | paste -sd ' ')
    total=$(values "$1" "$2" "$3" 7 | sort --numeric-sort | tail -n 1)
    if [[ $(tr ' ' '\n' <<<"$cached" | sort -u | wc -l) == 1 ]]; then
        cached=${cached%% *}
        seconds=$(values "$1" "$2" "$3" 5 | median)
    else
        mark='⌀ '
        seconds=$(values "$1" "$2" "$3" 5 | awk '{ sum += $1 } END { print sum / NR }')
    fi
    printf '%s%.2f s, %s/%s' "$mark" "$seconds" "$cached" "$total"
    case $3 in
        ours | kept) ;;
        *) awk -v theirs="$seconds" -v ours="$4" 'BEGIN { printf ", **%.2f**", ours / theirs }' ;;
    esac
}
