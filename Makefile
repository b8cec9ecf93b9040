# `make` lists the targets. Each sets up what it needs first (a second, once that is done).
.DEFAULT_GOAL := help
.PHONY: help setup setup-translation demo test test-full lint format bench golden corpora lock clean
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# A process per core, up to four (2 GB each); a file's tests share what its fixtures built.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
# What another environment's shell exports must not reach ours.
unexport PYTHONPATH PYTHONHOME PYTHONUSERBASE VIRTUAL_ENV CONDA_PREFIX
export PYTHONNOUSERSITE := 1

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## build .venv, or bring it up to date
	@scripts/bootstrap.sh

demo: setup  ## the main job: digits becomes a pushed model, reviews are refused
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo.sh

test: setup  ## the tests that every change must pass
	@$(PYTEST)

test-full: setup  ## all tests, the slow ones too
	@$(PYTEST) -m ""

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup  ## let ruff format and fix what it can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup  ## run every benchmark and write benchmarks/results
	@for name in $$($(BIN)/python -m benchmarks list --names); do \
		$(BIN)/python -m benchmarks "$$name" || exit 1; done

golden: setup  ## renew the golden digests after a wanted change of bytes
	@$(BIN)/python -m tests.golden.renew

corpora: setup  ## fetch the NLTK corpora that set-up could not get
	@$(BIN)/python scripts/corpora.py

setup-translation: setup  ## install Apertium (English-Spanish) for back-translation
	@$(BIN)/python scripts/translation.py

lock: setup  ## renew requirements.lock from setup.py
	@scripts/lock.sh

clean:  ## remove .venv, caches and the demo's output
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist ./*.egg-info data/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
