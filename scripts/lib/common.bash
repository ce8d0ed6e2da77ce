# Shared by the scripts in this directory: where things live, and how to talk.
# shellcheck shell=bash

# An error inside $(…) ends the script too.
shopt -s inherit_errexit

# Numbers and sorting as the scripts expect them, whatever the machine speaks.
export LC_ALL=C.UTF-8

# shellcheck disable=SC2034  # used by those who source this
# The repository, whichever directory the script was called from.
REPO=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

# shellcheck disable=SC2034  # used by those who source this
# The Dockerfile's base image without its digest, which no stand-in has.
RUST_BASE_IMAGE=$(sed -nE 's/^FROM ([^ @]+)(@[^ ]+)? AS toolchain$/\1/p' "$REPO/Dockerfile")

# Everything that is downloaded or made once and kept between runs.
CACHE_HOME=${WATCHPARTY_CACHE_HOME:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/watchparty-cache}
ENGINE_HOME=${WATCHPARTY_ENGINE_HOME:-$CACHE_HOME/engines}

# Messages go to stderr: stdout belongs to answers, such as an engine's address.
log() { printf '%s\n' "$*" >&2; }
die() { log "error: $*"; exit 1; }

require() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "'$tool' is needed and not installed"
    done
}

# Seconds since the epoch with fraction, and the difference to an earlier one.
now() { printf '%s' "$EPOCHREALTIME"; }
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# with_lock NAME COMMAND…: one caller at a time, on this machine and for this cache directory.
# The commands run in a subshell; processes that they leave behind must not keep the lock, so
# a daemon is started with `{LOCK_FD}>&-`.
with_lock() {
    local name=$1
    shift
    mkdir -p "$ENGINE_HOME/locks"
    (
        exec {LOCK_FD}>"$ENGINE_HOME/locks/$name"
        if ! flock --nonblock "$LOCK_FD"; then
            log "waiting for another run that holds '$name' …"
            flock "$LOCK_FD"
        fi
        "$@"
    )
}
