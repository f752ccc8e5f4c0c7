# The runtime of a workspace, or a sidecar. Build from the root of the repository:
#   docker build -f deploy/workspace.Dockerfile --target workspace -t candor-workspace:0.1.0 .
# With the Claude CLI beside it (downloaded by npm, under its own licence):
#   docker build -f deploy/workspace.Dockerfile --target claude -t candor-workspace:0.1.0-claude .
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
ENV SQLX_OFFLINE=true CARGO_INCREMENTAL=0
RUN cargo build --release --locked -p candor-workspace

FROM node:22-bookworm-slim AS claude
ARG CLAUDE_VERSION=2.1.330
RUN npm install --global "@anthropic-ai/claude-code@$CLAUDE_VERSION" \
 && node "$(npm root --global)/@anthropic-ai/claude-code/install.cjs" \
 && claude --version
# Nobody's account, by number so that Kubernetes can see that it is not root.
RUN groupadd --system --gid 10001 agent \
 && useradd --system --uid 10001 --gid 10001 --home-dir /home/agent --create-home agent \
 && install --directory --owner 10001 --group 10001 --mode 0700 /configs /workspace
COPY --from=build /src/target/release/candor-workspace /usr/local/bin/
USER 10001:10001
# The token, the session, and what was not reported yet outlive the container here.
VOLUME /configs
ENV CONFIGS_DIR=/configs CANDOR_LISTEN=0.0.0.0:8000 CANDOR_EXECUTOR=claude-code
WORKDIR /workspace
# A2A, and /healthz for probes: 503 when the agent is wedged.
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["candor-workspace"]

FROM debian:12-slim AS workspace
RUN groupadd --system --gid 10001 agent \
 && useradd --system --uid 10001 --gid 10001 --home-dir /home/agent --create-home agent \
 && install --directory --owner 10001 --group 10001 --mode 0700 /configs /workspace
COPY --from=build /src/target/release/candor-workspace /usr/local/bin/
USER 10001:10001
VOLUME /configs
ENV CONFIGS_DIR=/configs CANDOR_LISTEN=0.0.0.0:8000
WORKDIR /workspace
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["candor-workspace"]
