# Each target sets up what it needs from a bare machine with python3.11+, git and make.
PYTHON ?= python3
SCALE ?= default
BIN := .venv/bin
PROFILES := serving serving-tensorflow training training-gpu
COVERED ?= tests/unit tests/architecture tests/contract tests/model tests/integration
# Tests run in two processes, whose dots mix. The halves take about as long, and every file is in one of them.
FAST_1 := $(wildcard tests/unit/test_[a-g]*.py) tests/architecture
FAST_2 := $(filter-out $(FAST_1),$(wildcard tests/unit/test_*.py))
FURTHER_1 := $(wildcard tests/integration/test_[a-r]*.py)
FURTHER_2 := tests/contract tests/e2e tests/model tests/integration/console \
  $(filter-out $(FURTHER_1),$(wildcard tests/integration/test_*.py))
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --python $(BIN)/python --universal --python-version 3.11 --generate-hashes --no-emit-index-url
export DVC_NO_ANALYTICS = 1
export DO_NOT_TRACK = true
DVC_STATE := .dvc/tmp/site
export DVC_SITE_CACHE_DIR := $(CURDIR)/$(DVC_STATE)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow coverage check types fast-tests data notebooks repro up down lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv from the hash-pinned lock; seconds when nothing changed

.venv/.ready: requirements.lock pyproject.toml requirements/application.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"expected Python 3.11, 3.12 or 3.13, got {v[0]}.{v[1]}; call make with PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	awk '/^[a-z]/ {on = /^uv==/} on' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.txt
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(DVC_STATE):                   # for its owner alone: DVC keeps pickles there
	mkdir -p -m 700 $@

demo: setup | $(DVC_STATE) ## The whole loop on demo data, then leaves the services up (SCALE=small: a tenth of the rows)
	$(BIN)/perennial demo --scale $(SCALE)

test: check ## Lint, types, import contracts, and every test but the slow ones
	@$(MAKE) --no-print-directory --jobs 2 tests-FURTHER_1 tests-FURTHER_2

test-slow: setup ## The slow tests: endurance and large runs
	$(BIN)/python -m pytest -m slow tests

coverage: setup ## Branch coverage of all tests but e2e and the slow ones, with the processes they start
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest -m "not slow" $(COVERED)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --format=total --fail-under=0 > build/coverage/total.txt
	$(BIN)/coverage report

check: setup ## Lint, types, import contracts, fast tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target types fast-tests

types: setup ## mypy alone
	$(BIN)/mypy

fast-tests: tests-FAST_1 tests-FAST_2 ## Unit and architecture tests alone (--jobs 2: on two cores)

tests-%: setup
	@$(BIN)/python -m pytest -q -m "not slow" $($*)

data: setup | $(DVC_STATE) ## Rebuild the default demo snapshot, the one that data.dvc describes
	$(BIN)/perennial snapshot --demo

notebooks: setup ## Run notebooks/final on the loop of this clone; HTML in build/notebooks
	for page in notebooks/final/*.py; do \
	  name=build/notebooks/$$(basename $$page .py); mkdir -p build/notebooks; \
	  $(BIN)/python -m jupytext --quiet --to notebook --output $$name.ipynb $$page && \
	  $(BIN)/python -m nbconvert --execute --to html --template offline \
	    --TemplateExporter.extra_template_basedirs=notebooks $$name.ipynb || exit 1; \
	done

repro: setup | $(DVC_STATE) ## Run the stages of dvc.yaml that are out of date, on the data that is here
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m dvc repro

up: setup | $(DVC_STATE) ## Start PostgreSQL, Prefect, MLflow, Evidently, the service, the console and the flow runner
	$(BIN)/perennial up

down: setup ## Stop all of them
	$(BIN)/perennial down

lock: setup ## Resolve requirements.lock anew, and the profiles as parts of it
	$(COMPILE) --extra dev -o requirements.lock pyproject.toml
	for profile in $(PROFILES); do $(COMPILE) --extra $$profile --no-annotate -c requirements.lock -o requirements/$$profile.lock pyproject.toml || exit 1; done
