# Debian trees in a directory, made from packages alone.
#
# apt resolves and downloads with a state of its own (the machine's package database is not
# touched), and the packages are unpacked without running their maintainer scripts: a fraction
# of a debootstrap's time, and all that an engine, Python or Node.js needs to run.
# shellcheck shell=bash

DEBIAN_LIBRARY=${BASH_SOURCE[0]}
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Where a tree has its certificates.
TREE_CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

# The Debian mirror that this machine is configured to use.
debian_mirror() {
    local codename uri=${WATCHPARTY_DEBIAN_MIRROR:-}
    if [[ -z $uri && -e $DEBIAN_KEYRING ]]; then
        codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
        uri=$(apt-get --print-uris update 2>/dev/null |
            sed -n "s#^'\(.*[^/]\)/*/dists/$codename/InRelease'.*#\1#p" | head -n 1)
    fi
    if [[ -z $uri ]]; then
        die "no Debian mirror found in this machine's apt sources;" \
            "set WATCHPARTY_DEBIAN_MIRROR, and install debian-archive-keyring"
    fi
    printf '%s\n' "$uri"
}

# apt-get for SUITE with a state of its own under the cache directory. Signatures are checked;
# validity dates are not, since a mirror that is a snapshot serves release files past theirs. DEBIAN_ARCHITECTURES names more
# than the machine's own.
debian_apt() {
    local state=$ENGINE_HOME/apt/$1 architecture architectures=()
    shift
    for architecture in ${DEBIAN_ARCHITECTURES:-}; do
        architectures+=(-o "APT::Architectures::=$architecture")
    done
    apt-get --yes --quiet=2 \
        -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$state/lists" -o Dir::State::Status="$state/status" \
        -o Dir::Cache="$state" -o Dir::Cache::Archives="$state/archives" \
        -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o APT::Install-Recommends=false -o APT::Sandbox::User=root \
        "${architectures[@]}" "$@"
}

# debian_download SUITE LIST PACKAGE…: fetch the packages and all that they depend on, and
# write the archives' paths to LIST.
debian_download() {
    local suite=$1 list=$2 state=$ENGINE_HOME/apt/$1 mirror
    shift 2
    mirror=$(debian_mirror)
    mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/none/partial"
    : >"$state/status"
    printf 'deb [signed-by=%s target=Packages] %s %s main\n' \
        "$DEBIAN_KEYRING" "$mirror" "$suite" >"$state/sources.list"
    debian_apt "$suite" update >&2
    # apt leaves out what it has already downloaded: an empty archive directory lists it all.
    debian_apt "$suite" -o Dir::Cache::Archives="$state/none" --print-uris install "$@" |
        sed -n "s#^'[^']*' \([^ ]*\.deb\) .*#$state/archives/\1#p" >"$list"
    debian_apt "$suite" --download-only install "$@" >&2
}

# debian_tree_path SUITE NAME PACKAGE…: where the tree of these packages is, once it is made.
# Raise the number when the way a tree is made changes: other versions of the scripts, which may
# use this cache at the same time, keep theirs.
debian_tree_path() {
    printf '%s/trees/%s-%s\n' "$ENGINE_HOME" "$2" "$(printf '%s\n' 3 "$1" "${@:3}" | sha256sum | cut -c1-8)"
}

# debian_tree SUITE NAME PACKAGE…: make the tree, unless it is there already, and print its
# path. It appears whole or not at all. The caller holds a lock on it.
debian_tree() {
    local suite=$1 name=$2 directory begin
    directory=$(debian_tree_path "$@")
    printf '%s\n' "$directory"
    shift 2
    if [[ -d $directory ]]; then
        return
    fi
    require apt-get dpkg-deb tar xargs
    begin=$(now)
    log "$name: downloading and unpacking from Debian $suite …"

    local partial=$directory.partial
    rm -rf "$partial"
    mkdir -p "$partial/usr/"{bin,sbin,lib,lib64} "$partial/"{dev,proc,sys,run,tmp,etc/ssl/certs}
    chmod 1777 "$partial/tmp"
    local link
    for link in bin sbin lib lib64; do
        ln -s "usr/$link" "$partial/$link"
    done
    with_lock "apt-$suite" debian_download "$suite" "$partial.list" "$@" || die "could not download from Debian $suite"
    unpack_all "$partial" "$partial.list" || die "could not unpack the packages of Debian $suite"
    debian_settle "$partial" || die "could not set up $partial"
    sed 's#.*/##' "$partial.list" >"$partial/.packages"
    rm "$partial.list"
    mv "$partial" "$directory"
    log "$name: ready in $(since "$begin") s"
}

# unpack_all DIRECTORY LIST: the archives of LIST, on all processors.
unpack_all() {
    # shellcheck disable=SC2016  # expanded by the inner shell
    xargs --arg-file="$2" --max-procs="$(nproc)" --max-args=8 \
        bash -c 'set -euo pipefail; source "$1"; unpack "${@:2}"' unpack "$DEBIAN_LIBRARY" "$1"
}

# unpack DIRECTORY ARCHIVE…
unpack() {
    local directory=$1 archive
    shift
    for archive in "$@"; do
        dpkg-deb --fsys-tarfile "$archive" |
            tar --extract --directory="$directory" --keep-directory-symlink \
                --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
                --exclude='./usr/share/info/*' --exclude='./usr/share/locale/*'
    done
}

# What maintainer scripts would have done, as far as it is needed here.
debian_settle() {
    local tree=$1 share=$1/usr/share
    cp "$share/base-passwd/passwd.master" "$tree/etc/passwd"
    cp "$share/base-passwd/group.master" "$tree/etc/group"
    : >"$tree/etc/resolv.conf"
    ca_bundle "$tree" >"$tree$TREE_CERTIFICATES"
    chroot "$tree" /usr/sbin/ldconfig
}

# Debian's certificate authorities and those that this machine trusts besides.
ca_bundle() {
    find "$1/usr/share/ca-certificates/mozilla" -name '*.crt' -exec awk 1 {} +
    machine_certificates
}

machine_certificates() {
    local file
    printf '%s\n' /etc/ssl/certs/ca-certificates.crt \
        "${SSL_CERT_FILE:-}" "${NODE_EXTRA_CA_CERTS:-}" "${PIP_CERT:-}" | sort -u |
        while read -r file; do
            [[ ! -f $file ]] || awk 1 "$file"
        done
}

# in_tree TREE COMMAND…: run with the machine's devices and its way to the network, from mounts
# that nobody else sees.
in_tree() {
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --mount --propagation private bash -c '
        set -euo pipefail
        mount --rbind /dev "$1/dev"
        mount --rbind /proc "$1/proc"
        mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
        export PATH=/usr/sbin:/usr/bin:/sbin:/bin
        exec chroot "$@"' in_tree "$@" >&2
}
