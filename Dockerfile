# syntax=docker/dockerfile:1
#
#   docker build -t hookturn .
#   docker run --stop-timeout 35 -p 8080:8080 -e HOOKTURN_API_KEYS=acme=some-key hookturn
#
# Records are in memory unless HOOKTURN_STORE says otherwise. To keep them, give it a volume:
#
#   docker run … -v hookturn:/var/lib/hookturn -e HOOKTURN_STORE=sqlite:/var/lib/hookturn/hookturn.db \
#     -e HOOKTURN_MASTER_KEYS hookturn
#
# `--stop-timeout`: the server takes up to 30 s to finish what is running, and Docker kills it after 10 otherwise.
# Behind a proxy or on another port, set HOOKTURN_PUBLIC_URL too: the links in error documents are made from it.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the layer, so a change of one source file does not build every dependency again. The binary is
# copied out because a cache mount is not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin hookturn \
    && install -D target/release/hookturn /out/hookturn

# The same Debian as the build's, so the C library is the one that was linked against.
FROM debian:bookworm-slim
# A fixed number, so that a cluster can check that the image does not run as root.
RUN groupadd --system --gid 10001 hookturn \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin hookturn
# A volume that is mounted here when it is new takes over this owner.
RUN install --directory --mode=0700 --owner=10001 --group=10001 /var/lib/hookturn
COPY --from=build /out/hookturn /usr/local/bin/hookturn

USER 10001:10001
# Inside a container loopback is reachable by nobody.
ENV HOOKTURN_LISTEN=0.0.0.0:8080
EXPOSE 8080

# The image has no HTTP client, and one that is there for the health check alone is one more thing to keep patched:
# bash opens the connection itself. It asks where HOOKTURN_LISTEN says (0.0.0.0 reaches the own host), so a changed
# variable keeps working; a `--listen` flag would not be seen here.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["bash", "-c", "host=${HOOKTURN_LISTEN%:*}; host=${host//[][]/}; exec 3<>\"/dev/tcp/$host/${HOOKTURN_LISTEN##*:}\" && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r -t 2 _ status _ <&3 && [ \"$status\" = 200 ]"]

ENTRYPOINT ["hookturn"]
CMD ["serve"]
