# Everything that one does with this repository. `make help` lists it.
# Needs Python 3.11 or newer and make; the rest goes into .venv, at the versions of requirements.lock.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --quiet --constraint requirements.lock --editable
RUN := $(VENV)/run.stamp
DEV := $(VENV)/dev.stamp

.DEFAULT_GOAL := help
.PHONY: help run test lint browser demo chaos test-clients test-fuzz bench-engine bench-api nano nano-eval lock build clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read name words; do \
		printf '  %-14s %s\n' "make $$name" "$$words"; done

run: $(RUN) ## set up and start the studio
	@exec $(BIN)/fluxsmith serve

test: lint browser ## set up; format, lint, types, import rules, lengths, all tests but chaos and clients
	$(BIN)/python -m pytest -m "not chaos and not clients"

lint: $(DEV) ## only the checks that read the code
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_lengths.py

browser: ## install Debian's chromium for the browser tests, where that is possible
	@scripts/install-chromium

demo: $(RUN) ## finetune the sample set without a page; writes demo.png
	@$(BIN)/fluxsmith demo

chaos: $(DEV) ## kill processes at random moments; takes long
	$(BIN)/python -m pytest -m chaos

test-clients: $(DEV) ## other people's clients of BFL's API against a started server; needs npm
	@scripts/install-clients "$(PYTHON)"
	$(BIN)/python -m pytest -m clients

test-fuzz: $(DEV) ## ten thousand requests by Schemathesis: no fault of the server, nothing that /docs denies
	$(BIN)/python -m tests.fuzz

bench-engine: $(DEV) ## our training against diffusers' script, in the same run
	$(BIN)/python -m benchmarks.engine

bench-api: $(DEV) ## submits and polls of fifty clients while a training runs; tasks per second
	$(BIN)/python -m benchmarks.api

NANO_FRACTION ?= 1
NANO_WORK ?= recipes/nano/work

nano: $(DEV) ## make the embedded model from nothing; takes hours (NANO_FRACTION=0.02: minutes)
	$(BIN)/python -m recipes.nano --fraction $(NANO_FRACTION) --work $(NANO_WORK)

nano-eval: $(DEV) ## measure the embedded model as it is shipped
	$(BIN)/python -m recipes.nano icons evaluate --work $(NANO_WORK)

build: $(DEV) ## build the wheel into dist/
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

lock: ## write requirements.lock anew, from the newest versions that pyproject.toml allows
	@scripts/lock "$(PYTHON)"

clean: ## remove the virtual environment and what tools left; data stays
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis tests/out benchmarks/out

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "fluxsmith needs Python 3.11 or newer, and none was found."; \
		echo "Install it (Debian: apt install python3 python3-venv), or name it: make run PYTHON=/path/to/python3"; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)…"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python could not make a virtual environment (Debian: apt install python3-venv)."; exit 1; }

$(RUN): pyproject.toml requirements.lock | $(VENV)/bin/python
	@echo "Installing fluxsmith and what it needs; this takes minutes, once…"
	@$(INSTALL) ".[engine]"
	@touch $@

$(DEV): pyproject.toml requirements.lock | $(VENV)/bin/python
	@echo "Installing fluxsmith and its development tools; this takes minutes, once…"
	@$(INSTALL) ".[engine,recipe,dev]"
	@touch $@ $(RUN)
