# The case of scripts/bench that says what our records of a build cost.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables shared with scripts/bench

# The lines of the program's debug log, `image cache: <this> <milliseconds> ms`.
PARTS=('looked up in' 'kept in' 'ledgers written in' 'tidied up in')

# shellcheck disable=SC2016  # Markdown, not commands
head_of_records() {
    echo '| engine | build | `cache-stages` | seconds | looked up, ms | kept, ms | ledgers written, ms | tidied up, ms | in all, ms | share |'
    echo '|---|---|---|--:|--:|--:|--:|--:|--:|--:|'
}

measure_records() {
    local engine=$1 round who change turns=(stages no-stages)
    [[ -z $against ]] || turns+=(against)
    for who in "${turns[@]}"; do
        # Twice: some things settle only at the second build.
        for round in 1 2; do
            build_with_records "$who" || fail_build "records, $who: the first builds"
        done
    done
    for ((round = 1; round <= rounds; round++)); do
        log "$engine, records: round $round of $rounds"
        for who in "${turns[@]}"; do
            for change in same commit; do
                [[ $change == same ]] || change_code "$work/records/$who"
                build_with_records "$who" || fail_build "records, $who, round $round"
                keep_run "$engine" "records-$change" "$who" "$round"
                keep_parts "$engine" "$change" "$who"
            done
        done
        turns=("${turns[@]:1}" "${turns[0]}")
    done
    for change in same commit; do
        for who in stages no-stages against; do
            [[ $who == against && -z $against ]] || add_records_row "$engine" "$change" "$who"
        done
    done
}

build_with_records() {
    local who=$1 directory=$work/records/$1 PROGRAM=$PROGRAM RUNNER_DEBUG=1 inputs=()
    case $who in
        stages) inputs=(cache-stages=true) ;;
        no-stages) inputs=(cache-stages=false) ;;
        against) PROGRAM=$against ;;
    esac
    prepare_step "$work/step" "$directory" mode=build compose-file=compose.yaml "${inputs[@]}"
    measure "$directory" "${STEP[@]}"
}

# One line for each part, what it took for all images of the run together. And one for the sum of
# the parts.
keep_parts() {
    local part
    for part in "${PARTS[@]}"; do
        sed -n "s/.*image cache: $part \([0-9.]*\) ms.*/\1/p" "$work/log" |
            awk '{ sum += $1 } END { print sum + 0 }' | tee -a "$work/records-$1-$2-$3-${part%% *}"
    done | awk '{ sum += $1 } END { print sum + 0 }' >>"$work/records-$1-$2-$3-all"
}

add_records_row() {
    local engine=$1 change=$2 who=$3 seconds part row title stages parts=()
    seconds=$(values "$engine" "records-$change" "$who" 5 | median)
    case $change in
        same) title='nothing changed' ;;
        commit) title='one source file changed' ;;
    esac
    case $who in
        stages) stages=true ;;
        no-stages) stages=false ;;
        against) stages='the other program' ;;
    esac
    for part in "${PARTS[@]%% *}" all; do
        parts+=("$(median "$work/records-$engine-$change-$who-$part")")
    done
    row=$(printf '| %s | %s | %s | %.3f |' "$(engine_title "$engine")" "$title" "$stages" "$seconds")
    row+=$(printf ' %.0f |' "${parts[@]}")
    row+=$(awk -v all="${parts[-1]}" -v seconds="$seconds" 'BEGIN { printf " %.0f %% |", all / 10 / seconds }')
    add_row records "$row"
}
