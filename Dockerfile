# syntax=docker/dockerfile:1
# An image with both binaries: docker build -t postroom .
# Linted, never built: the machines on which Postroom is written have no Docker.

FROM rust:1.95.0-slim-bookworm AS build
# ring and mimalloc compile C. Versions are not pinned: Debian removes old ones.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
# The image's own toolchain.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p api -p worker \
    && install -D target/release/postroom-api target/release/postroom-worker -t /out

FROM debian:bookworm-slim
# Roots of TLS for models and providers.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin postroom
COPY --from=build /out/ /usr/local/bin/
# Loopback, the default, is that of the container, which nobody reaches. Publish the first; keep the ops ports to yourself.
ENV API_ADDR=0.0.0.0:8080 API_OPS_ADDR=0.0.0.0:9101 WORKER_OPS_ADDR=0.0.0.0:9102
EXPOSE 8080
USER 10001
# SIGTERM stops claiming and lets running jobs end.
STOPSIGNAL SIGTERM
CMD ["postroom-api", "serve"]
