# syntax=docker/dockerfile:1
#
#   docker build -t hookturn .
#   docker run --stop-timeout 35 -p 8080:8080 -e HOOKTURN_API_KEYS=acme=some-key hookturn
#
# Records are in memory unless HOOKTURN_STORE names a file. To keep them, use a volume:
#
#   docker run … -v hookturn:/var/lib/hookturn -e HOOKTURN_STORE=sqlite:/var/lib/hookturn/hookturn.db \
#     -e HOOKTURN_MASTER_KEYS hookturn
#
# `--stop-timeout`: the server takes up to 30 s to finish running requests, and by default Docker kills it after 10 s.
# Behind a proxy or on another port, also set HOOKTURN_PUBLIC_URL, from which links in error documents are made.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the layer, so that a change of one source file does not build every dependency again. The binary is
# copied out, since a cache mount is not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin hookturn \
    && install -D target/release/hookturn /out/hookturn

# The same Debian release as the build's, so that the C library matches.
FROM debian:bookworm-slim
# A fixed number, so that a cluster can check that the image does not run as root.
RUN groupadd --system --gid 10001 hookturn \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin hookturn
# A new volume that is mounted here gets this owner.
RUN install --directory --mode=0700 --owner=10001 --group=10001 /var/lib/hookturn
COPY --from=build /out/hookturn /usr/local/bin/hookturn

USER 10001:10001
# Nobody can reach loopback inside a container from outside.
ENV HOOKTURN_LISTEN=0.0.0.0:8080
EXPOSE 8080

# bash opens the connection itself, since an HTTP client only for the health check would be one more package to patch. It
# uses the address in HOOKTURN_LISTEN (0.0.0.0 reaches this host). It does not see a `--listen` flag.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["bash", "-c", "host=${HOOKTURN_LISTEN%:*}; host=${host//[][]/}; exec 3<>\"/dev/tcp/$host/${HOOKTURN_LISTEN##*:}\" && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r -t 2 _ status _ <&3 && [ \"$status\" = 200 ]"]

ENTRYPOINT ["hookturn"]
CMD ["serve"]
