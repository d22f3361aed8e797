# Everything a person needs: `make up` runs the platform, `make test` proves it. Both set up what they need first.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_COMPILE := $(BIN)/python -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --quiet
ARGS ?=
# Processes that run tests beside each other. More than processors, since most of the longest tests wait: for kills, outages and timers.
TESTERS ?= 4

# Where this is set, as in many images, each of the hundreds of processes that the tests start compiles all its modules anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help up test check prove bench lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "payorch needs Python 3.11 or newer; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# Each stamp is newer than its lock file exactly when that lock file has been installed.
$(VENV)/runtime.stamp: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/development.stamp: requirements/development.txt $(VENV)/runtime.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/development.txt
	@touch $@

up: $(VENV)/runtime.stamp ## run the whole platform on this machine (options: make up ARGS="--port 9000")
	$(BIN)/payorch up $(ARGS)

# Collecting compiles every test. Beside the checks it is done once, and not again by each of the processes that run tests.
test: $(VENV)/development.stamp ## lint, types, import rules and every test (options: make test ARGS="-k name", one by one and unbuffered with ARGS="-n0 -s")
	@$(BIN)/python -m pytest --collect-only -qq > /dev/null 2>&1 & collecting=$$!; \
		$(MAKE) --no-print-directory check; checked=$$?; wait $$collecting; exit $$checked
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/development.stamp ## lint, formatting and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

prove: $(VENV)/development.stamp ## the longer proofs: 5,000 simulation seeds, 50 real kills (an hour)
	$(BIN)/python -m tests.simulation --seeds 5000 --replay 20 --sometimes
	$(BIN)/python -m pytest tests/simulation/test_mutants.py
	PROVE=1 $(BIN)/python -m pytest tests/e2e tests/month

bench: $(VENV)/development.stamp ## authorisations and webhooks per second against the bare composition of our own parts (options in ARGS)
	$(BIN)/python -m bench $(ARGS)

lock: $(VENV)/development.stamp ## renew requirements/ from pyproject.toml (versions and hashes, no addresses)
	$(BIN)/python -m pip install --quiet uv
	$(UV_COMPILE) --group build --output-file requirements/runtime.txt
	$(UV_COMPILE) --group dev --output-file requirements/development.txt

clean: ## remove the virtual environment and caches; data in .payorch stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
