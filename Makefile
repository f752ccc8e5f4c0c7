# `make up` and `make test` are all that a newcomer needs. Both install what is
# missing (scripts/setup) and say what they cannot install.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# SQL is checked against the committed .sqlx, never against a database that
# happens to be set in the environment.
export SQLX_OFFLINE := true

DATA_DIR := $(or $(CANDOR_DATA_DIR),.candor)
.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: up
up: ## Build and run everything in one process (ARGS="--http 127.0.0.1:8081")
	@scripts/setup up
	cargo build -p candor -p candor-workspace --bins
	exec scripts/up $(ARGS)

.PHONY: setup
setup: ## Install what is missing: Postgres' server programs, a C compiler, Docker for tests
	@scripts/setup

.PHONY: fmt
fmt: ## Format the Rust sources
	cargo fmt --all

.PHONY: lint
lint: ## Formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: check
check: lint ## Lint, unit and property tests (no Postgres, no processes)
	cargo test --workspace --locked --lib --bins
	cargo test --locked -p candor-kernel -p candor-identity -p candor-egress -p candor-events
	cargo test --locked -p candor-testkit --test arrows --test house_rules --test deployment --test docs

.PHONY: test
test: setup lint ## Everything that CI runs: all tests on the real programs
	cargo build --workspace --bins --locked
	scripts/with-docker --optional cargo test --workspace --locked
	scripts/check-sqlx
	scripts/check-kustomize
	scripts/check-kubernetes-objects

.PHONY: bench
bench: setup ## Measure beats against floors of the same run, the activity log, the relay, creations (bench/README.md)
	bench/run

.PHONY: gate
gate: test ## Everything: test, grpcurl, buf, cargo-deny, independent replay, a browser, A2A's SDK, the runtime, its sidecar, the Claude CLI, bench
	scripts/check-buf
	scripts/check-deny
	scripts/check-grpcurl
	scripts/check-replay
	scripts/check-browser
	scripts/check-a2a-sdk
	scripts/check-a2a-runtime
	scripts/check-sidecar
	scripts/check-claude-cli
	scripts/check-runtime-memory
	bench/run

.PHONY: sqlx
sqlx: setup ## Refresh .sqlx after a change of SQL or of a migration
	scripts/refresh-sqlx

.PHONY: state-machine
state-machine: ## Rewrite docs/state-machine.md from the status table
	UPDATE_DOCS=1 cargo test --locked -p candor-kernel --test state_machine_doc

.PHONY: clean-data
clean-data: ## Remove the data directory, with its instances and its private Postgres ended
	@scripts/clean-data "$(DATA_DIR)"
