# Thin on purpose: each target is a tool's own command, or a script under dev/ that can be read.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down env test test-unit test-cluster test-e2e test-full lint generate images bench-operator bench-server bench-gateway
PYTHON ?= python3
BIN := .venv/bin

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {gsub(/\$$\$$/, "$$"); printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## Python tools, pinned by hash, into .venv

.venv/ready: requirements.lock pyproject.toml $(wildcard */pyproject.toml) dev/setup.sh
	@PYTHON=$(PYTHON) sh dev/setup.sh $@ $^

demo: setup ## A real Kubernetes, the operator, a real model and its answer
	@$(BIN)/python -m dev.demo up

demo-down: setup ## Remove the demo's cluster, leaving nothing behind
	@$(BIN)/python -m dev.demo down

env: setup ## For a shell with the demo's kubectl and helm: eval "$$(make -s env)"
	@$(BIN)/python -m devcluster env demo 2>/dev/null || { echo "no demo is up: make demo" >&2; exit 1; }

test: setup ## Lint and every test tier, images building beside the first ones
	@$(BIN)/python -m dev.tiers lint unit cluster e2e

test-full: setup ## The same, with faults that last minutes and thousands of random sequences
	@FULL=1 $(BIN)/python -m dev.tiers lint unit cluster e2e

test-unit: setup ## Pure tests: no I/O, seconds
	@$(BIN)/python -m dev.tiers unit

test-cluster: setup ## Against a real API server with fake nodes: no root, no containers
	@$(BIN)/python -m dev.tiers cluster

test-e2e: setup ## A real node, real images, a real model: root on Linux, or CLUSTER=kind
	@$(BIN)/python -m dev.tiers e2e

lint: setup ## Style, types, import rules, generated files, the chart
	@$(BIN)/python -m dev.lint

generate: setup ## Rewrite what is generated: the CRD, its reference, the golden manifests, the lock files
	@$(BIN)/python -m dev.generate

images: setup ## Build the operator's and the server's image
	@$(BIN)/python -m dev.images

N ?= 1000
QUIET ?= 60
bench-operator: setup ## N=1000: time, requests, CPU and memory beside a floor without operator
	@$(BIN)/python -m bench.operator --resources $(N) --quiet $(QUIET)

ROUNDS ?= 10
bench-server: setup ## ROUNDS=10: beside bare vLLM, no gateway and other proxies: time, CPU, memory
	@$(BIN)/python -m bench.server --rounds $(ROUNDS) $(ONLY)

bench-gateway: setup ## ROUNDS=10: what keys, limits, quotas, cache and history add to a request
	@$(BIN)/python -m bench.server --rounds $(ROUNDS) layers
