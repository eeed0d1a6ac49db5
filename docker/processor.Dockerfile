# The processor on the image of the Azure Functions host: for Premium, Dedicated, Container Apps, and compose.
#
#   docker build --file docker/processor.Dockerfile --tag dilux-processor .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package processor && \
    install -D -m 0755 target/release/processor /app/processor
RUN cp -r host-configs/processor/. /app/ && rm -f /app/local.settings*

FROM mcr.microsoft.com/azure-functions/dotnet:4
# The client tools make the dumps; with them here, the folder tools/ of the zip file is not needed.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends curl ca-certificates mariadb-client postgresql-client && \
    rm -rf /var/lib/apt/lists/*
ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    FUNCTIONS_WORKER_RUNTIME=custom \
    BACKUP_QUEUE_NAME=backup-jobs
COPY --from=build /app /home/site/wwwroot
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD curl --fail --silent --output /dev/null http://127.0.0.1/
