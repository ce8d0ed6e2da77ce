# Tools that the scripts need besides Rust. What a machine has is used; what it has not is
# installed under the cache directory, or, for the C compiler that Rust links with, by apt.
# shellcheck shell=bash

# shellcheck disable=SC2034  # used by those who source this
CARGO_NEXTEST=0.9.143 CARGO_DENY=0.20.2

export PATH=$PATH:$CACHE_HOME/tools/bin

# need_package COMMAND PACKAGE…: install with apt what a fresh machine lacks.
need_package() {
    local tool=$1
    shift
    if command -v "$tool" >/dev/null; then
        return
    fi
    if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
        die "'$tool' is needed and not installed"
    fi
    log "installing $* with apt: this machine has no '$tool'"
    apt-get --quiet=2 update >&2
    DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes install --no-install-recommends "$@" >/dev/null
}

need_compiler() {
    command -v cargo >/dev/null || die "Rust is needed: install it with rustup, https://rustup.rs"
    need_package cc gcc libc6-dev
}

# need_cargo_tool NAME VERSION [CARGO-INSTALL-OPTION…]. Compiled without optimisation: on two
# processors the optimised ones take several times as long to compile as they then run.
need_cargo_tool() {
    local name=$1 version=$2
    shift 2
    if ! command -v "$name" >/dev/null; then
        log "compiling $name $version, once …"
        CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug \
            --root "$CACHE_HOME/tools" --version "$version" "$@" "$name" >&2
    fi
}

# Prints the path of shellcheck. Needs lib/debian.bash, and root the first time.
shellcheck_program() {
    local tree wrapper=$CACHE_HOME/tools/bin/shellcheck
    if ! command -v shellcheck; then
        tree=$(with_lock tree-shellcheck debian_tree forky shellcheck base-files base-passwd ca-certificates libc-bin shellcheck)
        mkdir -p "$(dirname "$wrapper")"
        # With the C library that it was built for, which may be newer than the machine's.
        cat >"$wrapper" <<WRAPPER
#!/bin/sh
exec $(echo "$tree"/usr/lib/*-linux-gnu/ld-linux-*.so.*) \\
    --library-path $(echo "$tree"/usr/lib/*-linux-gnu) "$tree/usr/bin/shellcheck" "\$@"
WRAPPER
        chmod +x "$wrapper"
        printf '%s\n' "$wrapper"
    fi
}
