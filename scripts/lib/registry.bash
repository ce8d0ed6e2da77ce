# A registry of images for the tests: distribution's, as Debian packages it. Needs lib/debian.bash.
# shellcheck shell=bash

REGISTRY_PACKAGES=(base-files base-passwd ca-certificates libc-bin docker-registry)

# Prints the path of the registry's program. What the machine has is used; else it is unpacked under
# the cache directory, which needs root the first time. No service is installed or started.
registry_program() {
    local tree wrapper=$CACHE_HOME/tools/bin/docker-registry
    if ! command -v docker-registry; then
        tree=$(with_lock tree-registry debian_tree bookworm registry "${REGISTRY_PACKAGES[@]}")
        mkdir -p "$(dirname "$wrapper")"
        # With the C library that it was built for, which may be newer than the machine's.
        cat >"$wrapper" <<WRAPPER
#!/bin/sh
exec $(echo "$tree"/usr/lib/*-linux-gnu/ld-linux-*.so.*) \\
    --library-path $(echo "$tree"/usr/lib/*-linux-gnu) "$tree/usr/bin/docker-registry" "\$@"
WRAPPER
        chmod +x "$wrapper"
        printf '%s\n' "$wrapper"
    fi
}
