# What scripts/bench builds: one copy of each project for everyone who builds it, with image names
# of its own, so that no build replaces another's image.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables shared with scripts/bench

FILES_PER_DIRECTORY=100 DIRECTORIES=200 BYTES_PER_FILE=16450

# make_projects CASE…: $work/CASE/WHO for each; only what the cases need.
make_projects() {
    local case who
    for case in "$@"; do
        case $case in
            example) for who in theirs ours; do make_example "$case" "$who"; done ;;
            records) for who in stages no-stages against; do make_example "$case" "$who"; done ;;
            steps) for who in theirs ours; do make_steps "$work/steps/$who" "$who"; done ;;
            first | changed) [[ -e $work/files ]] || make_files ;;
            pruned-stages) for who in "${CONTENDERS[@]}"; do make_stages "$case" "$who"; done ;;
            pruned*) for who in "${CONTENDERS[@]}"; do make_example "$case" "$who"; done ;;
        esac
    done
}

# make_example CASE WHO: its images are called CASE-WHO-backend and CASE-WHO-frontend.
make_example() {
    local directory=$work/$1/$2
    mkdir -p "$directory"
    copy_example "$directory"
    sed -i "s/watchparty-\(backend\|frontend\):latest/$1-$2-\1:latest/" "$directory/compose.yaml"
    commit_all "$directory" "Names for $2"
}

make_steps() {
    mkdir -p "$1"
    printf '%s\n' 'FROM busybox:1.36' 'WORKDIR /app' 'COPY one .' 'RUN cat one >two' \
        'COPY three .' 'RUN cat two three >four' >"$1/Dockerfile"
    echo "$2" | tee "$1/one" >"$1/three"
    git -C "$1" init --quiet --initial-branch=main
    commit_all "$1" "Five steps"
}

make_files() {
    local directory side
    log "Writing 20,000 files …"
    for ((directory = 0; directory < DIRECTORIES; directory++)); do
        mkdir -p "$work/files/theirs/$directory"
        head --bytes=$((FILES_PER_DIRECTORY * BYTES_PER_FILE)) /dev/urandom |
            (cd "$work/files/theirs/$directory" && split --bytes=$BYTES_PER_FILE - file-)
    done
    printf '%s\n' 'FROM busybox:1.36' 'COPY . /src' >"$work/files/theirs/Dockerfile"
    echo .git >"$work/files/theirs/.dockerignore"
    cp -r "$work/files/theirs" "$work/files/ours"
    for side in theirs ours; do
        git -C "$work/files/$side" init --quiet --initial-branch=main
        git -C "$work/files/$side" add Dockerfile
        git -C "$work/files/$side" -c user.name=bench -c user.email=bench@example.org \
            commit --quiet --message "Many files"
    done
}

# make_stages CASE WHO: one service, `app`, of three stages. Ten steps, of which a new commit
# leaves seven as they are: three of `dependencies`, two of `build` and two of the last.
make_stages() {
    local directory=$work/$1/$2
    mkdir -p "$directory/app/source"
    cat >"$directory/app/Dockerfile" <<'DOCKERFILE'
FROM busybox:1.36 AS dependencies
WORKDIR /app
COPY dependencies.txt ./
# Simulates an installation: waits as for a network, and writes 1,000 files, 32 MB.
RUN sleep 4 && mkdir lib && for i in $(seq 1000); do head -c 32768 /dev/urandom >lib/$i; done

FROM dependencies AS build
COPY tools.txt ./
# Simulates code generation.
RUN sleep 2 && cat lib/* | sha256sum >generated
ARG GIT_COMMIT_HASH=unknown
COPY source ./source
RUN echo "$GIT_COMMIT_HASH" | cat - source/* generated >built

FROM busybox:1.36
COPY runtime.txt /srv/
# Simulates what the image needs to run.
RUN sleep 2 && head -c 4096000 /dev/urandom >/srv/runtime
COPY --from=build /app/built /srv/
DOCKERFILE
    cat >"$directory/compose.yaml" <<COMPOSE
services:
  app:
    image: $1-$2-app:latest
    build:
      context: app
      args:
        GIT_COMMIT_HASH:
      cache_from:
        - $1-$2-app:latest
COMPOSE
    touch "$directory"/app/{dependencies.txt,tools.txt,runtime.txt,source/main}
    git -C "$directory" init --quiet --initial-branch=main
    commit_all "$directory" "Three stages"
}

# change_code DIRECTORY: a new commit, which changes one source file: of the backend, where there is one.
change_code() {
    local file
    generation=$((${generation:-0} + 1))
    for file in "$1"/{backend/app/main.py,app/source/main}; do
        [[ ! -e $file ]] || echo "# Generation $generation" >>"$file"
    done
    commit_all "$1" "Generation $generation"
}
