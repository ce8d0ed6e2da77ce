# The action's image: one static program and the certificates of the public authorities, nothing else.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY src src
# Naming the target keeps the flags away from build scripts and procedural macros, which cannot be static.
RUN host=$(rustc -vV | sed -n 's/^host: //p') \
    && RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --profile dist --bin watchparty-cache --target "$host" \
    && cp "target/$host/dist/watchparty-cache" /watchparty-cache

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /watchparty-cache /watchparty-cache
# Root: the runner's workspace and the engine's socket are not for anybody else.
ENTRYPOINT ["/watchparty-cache"]
