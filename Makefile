# make sweep      a sweep and its report (ARGS="--trials 8" adds options)
# make test       the tests that are not slow: a few minutes on two cores
# make test-all   every test: those of `make test`, then the slow ones
# make lint       ruff and mypy
# make schema     search_spaces/schema.json, which completes spaces in an editor
# make docs       docs/hyperparameters.md, from the code
# Each creates the virtual environment first, if there is none. PYTHON=python3.12 chooses another Python.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: sweep test test-all lint schema docs

sweep: .venv/installed
	$(BIN)/python sweep.py --space beta_study $(ARGS)

test: .venv/installed-dev
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal $(ARGS)

test-all: test
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schema: .venv/installed
	$(BIN)/python -m tuning.space.model > search_spaces/schema.json

docs: .venv/installed
	$(BIN)/python -m vae.cli.hyperparameters > docs/hyperparameters.md

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and there is no $(PYTHON) here; try make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); try make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.txt
	@echo "Installing requirements.txt into .venv: torch brings 6 GB, this takes a minute or more"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
