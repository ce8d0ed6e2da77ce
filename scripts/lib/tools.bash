# Tools that the scripts need besides Rust. What a machine has is used; what it has not is
# installed under the cache directory, or, for the C compiler that Rust links with, by apt.
# shellcheck shell=bash

# shellcheck disable=SC2034  # used by those who source this
CARGO_NEXTEST=0.9.143 CARGO_DENY=0.20.2

# First, because what is compiled there is what the machine has in another version.
export PATH=$CACHE_HOME/tools/bin:$PATH

# need_package COMMAND PACKAGE…: install with apt what a fresh machine lacks.
need_package() {
    command -v "$1" >/dev/null || install_packages "$@"
}

# install_packages WHAT PACKAGE…: what is missing, and the packages that have it.
install_packages() {
    local missing=$1
    shift
    if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
        die "'$missing' is needed and not installed"
    fi
    log "installing $* with apt: this machine has no '$missing'"
    apt-get --quiet=2 update >&2
    DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes install --no-install-recommends "$@" >/dev/null
}

need_compiler() {
    command -v cargo >/dev/null || die "Rust is needed: install it with rustup, https://rustup.rs"
    need_package cc gcc libc6-dev
}

# need_cargo_tool NAME VERSION [CARGO-INSTALL-OPTION…]: an installed one of this version or a later one is used, because it
# takes minutes to compile. Compiled without optimisation: on two processors the optimised ones take several times as long to
# compile as they then run.
need_cargo_tool() {
    local name=$1 version=$2 installed
    shift 2
    installed=$(installed_cargo_tool "$name")
    if [[ $installed == "$version" ]]; then
        return
    elif [[ -n $installed ]] && printf '%s\n' "$version" "$installed" | sort --version-sort --check=quiet; then
        log "$name is $installed, and $version would do"
    else
        log "compiling $name $version, once: ${installed:-none} is installed …"
        CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug \
            --root "$CACHE_HOME/tools" --version "$version" "$@" "$name" >&2
    fi
}

# installed_cargo_tool NAME: prints its version, if there is one.
installed_cargo_tool() {
    if command -v "$1" >/dev/null; then
        "$1" --version | sed -n '1s/^[^ ]* \([0-9][^ ]*\).*/\1/p'
    fi
}

# need_check_tools: sets CHECK_TOOLS to the directory of the linters for workflows, Dockerfiles and scripts, and puts its
# programs first on PATH. Every package is pinned by its hash in lib/checks; another list of them is another directory, so
# that versions of the scripts that use this cache at the same time keep theirs.
need_check_tools() {
    local lists=$REPO/scripts/lib/checks
    need_package python3 python3 python3-venv
    # Debian has Python without its module for environments.
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages 'python3 -m venv' python3-venv
    need_package npm nodejs npm
    CHECK_TOOLS=$CACHE_HOME/tools/checks-$(cat "$lists"/* | sha256sum | cut -c1-8)
    with_lock check-tools install_check_tools "$lists" "$CHECK_TOOLS"
    export PATH=$CHECK_TOOLS/python/bin:$PATH
}

# install_check_tools LISTS DIRECTORY: the directory has its mark only once it is whole. An environment of Python cannot be
# moved, so it is made in place.
install_check_tools() {
    local lists=$1 directory=$2 validator
    [[ ! -e $directory/complete ]] || return 0
    log "installing the linters, once …"
    rm -rf "$directory"
    mkdir -p "$directory"
    cp "$lists"/{package.json,package-lock.json,validate.mjs} "$directory/"
    install_validator "$directory" &
    validator=$!
    python3 -m venv "$directory/python"
    "$directory/python/bin/pip" --quiet --disable-pip-version-check install --no-compile --require-hashes --only-binary :all: \
        --requirement "$lists/requirements.txt" >&2
    wait "$validator"
    touch "$directory/complete"
}

# GitHub's own validator, as one file. No package's own script is run.
install_validator() {
    cd "$1" || return
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    node_modules/.bin/esbuild validate.mjs --bundle --platform=node --format=cjs --outfile=validate.cjs --log-level=error
}

# debian_program NAME RELEASE PACKAGE…: prints the path of a program. What the machine has is used; else it is unpacked
# under the cache directory, which needs root the first time. No service is installed or started. Needs lib/debian.bash.
debian_program() {
    local name=$1 release=$2 tree wrapper=$CACHE_HOME/tools/bin/$1
    shift 2
    if ! command -v "$name"; then
        tree=$(with_lock "tree-$name" debian_tree "$release" "$name" base-files base-passwd ca-certificates libc-bin "$@")
        mkdir -p "$(dirname "$wrapper")"
        # With the C library that it was built for, which may be newer than the machine's.
        cat >"$wrapper" <<WRAPPER
#!/bin/sh
exec $(echo "$tree"/usr/lib/*-linux-gnu/ld-linux-*.so.*) \\
    --library-path $(echo "$tree"/usr/lib/*-linux-gnu) "$tree/usr/bin/$name" "\$@"
WRAPPER
        chmod +x "$wrapper"
        printf '%s\n' "$wrapper"
    fi
}
