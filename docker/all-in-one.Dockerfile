# The three apps under our own stand-in for the Functions host, in one container: for a single machine
# without Azure Functions. It does not scale, and nobody in front of it signs people in: the api does that
# itself, by AUTH_MODE and the settings of the directory.
#
#   docker build --file docker/all-in-one.Dockerfile --tag dilux .
#   docker run --publish 127.0.0.1:7071:7071 --env STORAGE_CONNECTION_STRING --env AzureWebJobsStorage dilux
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package api --package scheduler --package processor \
      --package local-host --package cli && \
    install -d /out/apps /out/bin && \
    install -m 0755 target/release/local-host target/release/dilux /out/bin/ && \
    for app in api scheduler processor; do \
      cp -r host-configs/$app /out/apps/$app && rm -f /out/apps/$app/local.settings* && \
      install -m 0755 target/release/$app /out/apps/$app/$app || exit 1; \
    done

FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates curl mariadb-client postgresql-client tini && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --create-home --shell /usr/sbin/nologin dilux
COPY --from=build /out/bin /usr/local/bin
COPY --from=build /out/apps /opt/dilux
USER dilux
# Nobody in front adds whom it was called by, so X-Forwarded-For is the word of the client.
ENV FUNCTIONS_WORKER_RUNTIME=custom BACKUP_QUEUE_NAME=backup-jobs ENVIRONMENT=production TRUSTED_PROXY_COUNT=0
EXPOSE 7071
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD curl --fail --silent --output /dev/null http://127.0.0.1:7071/api/health
ENTRYPOINT ["tini", "--", "local-host", "--address", "0.0.0.0", "--term-first=10", \
    "--app", "/opt/dilux/api:7071", "--app", "/opt/dilux/scheduler:7072", "--app", "/opt/dilux/processor:7073"]
