# `make help` lists the targets. Nothing here needs root; everything lands in .venv, .venv-bench and runs/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The lock file was made with Python 3.11; any later one that the pinned packages support does as well.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
OUT ?= runs/first
BENCH ?= rlvr generate llamacpp server

VENV := .venv
BIN := $(VENV)/bin
digest = $(shell cat $(1) | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-16)
# An environment is ready when a stamp named after its pins lies in it: the second call is instant, a changed pin is not missed.
PINS := $(call digest,pyproject.toml requirements.lock)
RUN_READY := $(VENV)/.run-$(PINS)
DEV_READY := $(VENV)/.dev-$(PINS)
BENCH_READY := .venv-bench/.ready-$(call digest,bench/requirements.lock bench/peers/build_llamacpp.sh)

.PHONY: help setup run test test-slow test-explore test-gpu lint bench-setup bench

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(DEV_READY) ## the environment for working on the project (.venv), pinned

run: $(RUN_READY) ## sharpen the default model into OUT (runs/first); goes on with an unfinished run
	$(BIN)/whet sharpen --out $(OUT) --resume-if-started

# Two workers with a thread each: two threads each would spin for the same two cores.
test: $(DEV_READY) ## the tests (without slow and gpu), two at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(DEV_READY) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 3600

test-explore: $(DEV_READY) ## the properties on examples that nobody has tried yet (PATHS names tests)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --hypothesis-profile explore --numprocesses 2 --dist loadfile $(PATHS)

test-gpu: $(DEV_READY) ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu --timeout 1800

lint: $(DEV_READY) ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-setup: $(RUN_READY) $(BENCH_READY) ## the peers' environment (.venv-bench)

bench: bench-setup ## side-by-side benchmarks (BENCH names them), one JSON object a line
	for name in $(BENCH); do $(BIN)/whet bench $$name --json; done

$(RUN_READY):
	@$(call make_venv,$(VENV))
	@echo "installing into $(VENV): a few minutes the first time, most of it torch"
	@$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable .
	@rm -f $(VENV)/.run-* && touch $@

$(DEV_READY): $(RUN_READY)
	@echo "installing the tools for tests and lint into $(VENV)"
	@$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	@rm -f $(VENV)/.dev-* && touch $@

$(BENCH_READY):
	@$(call make_venv,.venv-bench)
	@echo "installing the peers into .venv-bench; llama.cpp is compiled for this processor: ten minutes the first time"
	@bench/peers/build_llamacpp.sh .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --requirement bench/requirements.lock
	@rm -f .venv-bench/.ready-* && touch $@

define make_venv
test -x $(1)/bin/pip || { \
	python='$(PYTHON)'; \
	test -n "$$python" || { echo "Python 3.11 or newer is needed: make $@ PYTHON=/path/to/python3" >&2; exit 2; }; \
	"$$python" -m venv $(1); }
endef
