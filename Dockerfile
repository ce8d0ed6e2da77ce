# The action's image: one static program and the certificates of the public authorities, nothing else.
# Another base image than the stage below, such as one without its digest where there is no registry.
ARG RUST_IMAGE=toolchain

# In a FROM of its own, which is all that Dependabot reads.
FROM rust:1.95.0-slim-bookworm AS toolchain

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# Naming the target keeps the flags away from build scripts and procedural macros, which cannot be static. No path of
# the machine that builds it is in the program.
ARG PROFILE=dist
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo"
COPY Cargo.toml Cargo.lock ./
# The dependencies alone: they stay in the builder's cache while the program changes.
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --locked --profile "$PROFILE" --bin watchparty-cache --target "$(rustc --print host-tuple)"
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --locked --profile "$PROFILE" --bin watchparty-cache --target "$(rustc --print host-tuple)" \
    && cp target/*/"$PROFILE"/watchparty-cache /watchparty-cache
# The same layer whenever it is built: the age of its files is part of it.
ARG SOURCE_DATE_EPOCH=0
RUN mkdir -p /image/etc/ssl/certs \
    && cp /watchparty-cache /image/ \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && find /image -exec touch --date="@$SOURCE_DATE_EPOCH" {} +

FROM scratch
COPY --from=build /image/ /
# Root: the runner's workspace and the engine's socket are not for anybody else.
ENTRYPOINT ["/watchparty-cache"]
