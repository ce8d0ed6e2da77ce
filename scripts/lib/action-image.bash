# The action's own image, built from the Dockerfile as GitHub's runner builds it.
# shellcheck shell=bash

# An engine that is kept for it, beside those of the tests: its builder's cache holds the compiled dependencies.
image_engine() { WATCHPARTY_ENGINE_SET=image "$REPO/scripts/engine" "$@"; }

# How well the program in it is optimised: `dist` is what is released, and takes three times as long to compile.
IMAGE_PROFILE=${WATCHPARTY_IMAGE_PROFILE:-quick}

# action_image: builds it and prints NAME=TAR, its name as a runner would choose it and what `docker load` takes.
action_image() { with_lock action-image build_action_image; }

build_action_image() {
    local begin address docker id name directory=$CACHE_HOME/action-image status=0
    begin=$(now)
    # shellcheck disable=SC2031  # set by with_lock, which this runs in
    address=$(image_engine start 28-graph {LOCK_FD}>&-)
    docker=$(image_engine peers)/docker
    image_engine base-images 28-graph rust
    id=$(build_and_save) || status=$?
    image_engine stop 28-graph
    [[ $status == 0 ]] || die "the action's image could not be built"
    log "the action's image is built in $(since "$begin") s, $(stat --format %s "$directory/$id.tar") bytes"
    printf '5c1a3e:%s=%s\n' "$id" "$directory/$id.tar"
}

# As `uses: ./` does, but for the name, the profile, and a base image that may be a stand-in.
build_and_save() {
    export DOCKER_HOST=$address DOCKER_CONFIG=${docker%/docker}
    "$docker" build --progress plain --build-arg PROFILE="$IMAGE_PROFILE" --build-arg RUST_IMAGE="$RUST_BASE_IMAGE" \
        --tag action-image --file "$REPO/Dockerfile" "$REPO" >&2
    id=$("$docker" image inspect --format '{{ .Id }}' action-image)
    id=${id#sha256:} id=${id:0:32} name=5c1a3e:$id
    mkdir -p "$directory"
    find "$directory" -name '*.tar' -mtime +1 -delete
    "$docker" tag action-image "$name"
    "$docker" save --output "$directory/$id.partial" "$name"
    mv "$directory/$id.partial" "$directory/$id.tar"
    "$docker" image rm "$name" >/dev/null
    "$docker" image prune --force >/dev/null
    printf '%s\n' "$id"
}

# load_action_image DOCKER NAME=TAR: into the engine of DOCKER_HOST, unless it is there; prints NAME.
load_action_image() {
    "$1" image inspect "${2%%=*}" >/dev/null 2>&1 || "$1" load --quiet --input "${2#*=}" >/dev/null
    printf '%s\n' "${2%%=*}"
}
