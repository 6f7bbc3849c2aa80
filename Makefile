# `make` lists what there is. CI runs the same targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup engine demo test lint types unit integration format benchmark benchmark-serving benchmark-monitoring clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-21s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@scripts/setup $(PYTHON) $(VENV)
	@touch $@

setup: $(READY) ## Make the virtual environment with everything for development

engine: ## See that a Docker Engine answers; on Debian as root, install and start one
	@scripts/engine

demo: setup ## Train, pack, build, run, predict and inspect the breast-cancer example
	@examples/demo $(BIN)

test: lint types unit integration ## Everything that CI checks

lint: setup ## ruff: style and common errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict, on both packages
	$(BIN)/mypy

unit: setup ## Tests that need no engine
	$(BIN)/pytest -m "not engine" -n auto --dist loadfile

integration: setup engine ## Tests against a real Docker Engine and a real registry
	@scripts/test-tools
	$(BIN)/pytest -m engine

format: setup ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: setup engine ## Measure builds, images and starts beside other tools
	@scripts/test-tools
	$(BIN)/python -m benchmarks.build

benchmark-serving: setup ## Measure predictions beside other servers
	@scripts/test-tools
	$(BIN)/python -m benchmarks.serving

benchmark-monitoring: setup ## Measure what monitoring costs
	@scripts/test-tools
	$(BIN)/python -m benchmarks.monitoring

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
