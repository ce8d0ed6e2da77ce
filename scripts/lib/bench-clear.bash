# The case of scripts/bench that says how long a clear takes.
# shellcheck shell=bash
# shellcheck disable=SC2154  # variables shared with scripts/bench

# So many images, in so many repositories, of so many steps each.
CLEAR_IMAGES=500
CLEAR_REPOSITORIES=10
CLEAR_STEPS=10

head_of_clear() {
    echo "| engine | $CLEAR_IMAGES images and $((CLEAR_IMAGES * CLEAR_STEPS)) cache records | \`docker rmi\` | \`builder prune\` | both | ours, proven | ratio |"
    echo '|---|---|--:|--:|--:|--:|--:|'
}

measure_clear() {
    local engine=$1 round turns=(theirs ours)
    for ((round = 1; round <= rounds; round++)); do
        for side in "${turns[@]}"; do
            log "$engine, clear: round $round of $rounds, $side"
            fill_engine
            "clear_as_$side" "$engine" "$round"
            [[ -z $(peer image ls --quiet --filter 'reference=bench-clear-*') ]] || die "$side left images"
        done
        # Each goes first in every other round.
        turns=("${turns[1]}" "${turns[0]}")
    done
    add_clear_row "$engine"
}

# Images of layers that no other has, and so as many records. Built some at a time: one client that is
# asked for all of them takes longer.
fill_engine() {
    local directory=$work/clear number step name
    mkdir -p "$directory"
    name=$RANDOM$RANDOM
    echo content >"$directory/file"
    {
        echo 'FROM scratch'
        echo 'ARG NAME'
        for ((step = 1; step <= CLEAR_STEPS; step++)); do
            echo "COPY file /\$NAME-$step"
        done
    } >"$directory/Dockerfile"
    for ((number = 0; number < CLEAR_IMAGES; number += 50)); do
        targets "$name" "$number" $((number + 50)) >"$directory/bake.json"
        (cd "$directory" && peer buildx bake --progress quiet --file bake.json) >"$work/log" 2>&1 || {
            tail -n 20 "$work/log" >&2
            die "the images could not be built"
        }
    done
}

# targets NAME FROM TO: a bake file.
targets() {
    local number separator=
    echo '{"target": {'
    for ((number = $2; number < $3; number++)); do
        printf '%s"t%s": {"context": ".", "args": {"NAME": "%s-%s"}, "tags": ["bench-clear-%s:%s"]}\n' "$separator" \
            "$number" "$1" "$number" $((number % CLEAR_REPOSITORIES)) "$number"
        separator=,
    done
    printf '}, "group": {"default": {"targets": ['
    separator=
    for ((number = $2; number < $3; number++)); do
        printf '%s"t%s"' "$separator" "$number"
        separator=,
    done
    echo ']}}}'
}

clear_as_theirs() {
    local names
    mapfile -t names < <(peer image ls --format '{{ .Repository }}:{{ .Tag }}' --filter 'reference=bench-clear-*')
    measure "$work" peer image rm "${names[@]}"
    keep_run "$1" clear rmi "$2"
    measure "$work" peer builder prune --all --force
    keep_run "$1" clear prune "$2"
}

clear_as_ours() {
    prepare_step "$work/step" "$REPO" mode=clear 'images=bench-clear-*' 'scope=images, builder'
    measure "$REPO" "${STEP[@]}" || {
        tail -n 20 "$work/log" >&2
        die "the clear failed"
    }
    [[ $(output "$work/step" verified) == true ]] || die "the clear is not verified"
    keep_run "$1" clear ours "$2" "$(output "$work/step" images-removed)" "$(output "$work/step" cache-records-removed)"
    log "removed $(output "$work/step" images-removed) images and $(output "$work/step" cache-records-removed) records"
}

add_clear_row() {
    local rmi prune ours
    rmi=$(values "$1" clear rmi 5 | median) prune=$(values "$1" clear prune 5 | median)
    ours=$(values "$1" clear ours 5 | median)
    add_row clear "$(awk -v engine="$(engine_title "$1")" -v rmi="$rmi" -v prune="$prune" -v ours="$ours" 'BEGIN {
        printf "| %s | cleared | %.1f | %.1f | %.1f | %.1f | **%.2f** |", engine, rmi, prune, rmi + prune, ours,
            ours / (rmi + prune)
    }')"
}
