# Everything starts from a bare checkout: Python 3.11 or later and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
BENCH_STAMP := $(VENV)/.installed-bench
PYTEST_ARGS ?=
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test cache-tests lint types chaos unit native bench pictures lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(STAMP) ## set up and run the demo: gateway on :8000, admin on :9000
	@# Compiled, if `make native` ran and no source has changed since.
	@if [ -d build/native ] && [ -z "$$(find src -name '*.py' -newer build/native -print -quit)" ]; then \
	  export PYTHONPATH=build/native; fi; exec $(BIN)/spork demo $(ARGS)

test: $(DEV_STAMP) lint ## set up and run every test, lint and types included
	@# Tests that hold the gateway to a time of the clock (marked alone) run afterwards with the machine to themselves.
	@# Nothing is run twice. PYTEST_ARGS may choose tests of one stage only; then the other finds none (exit 5).
	$(BIN)/python -m pytest -n 4 --dist loadgroup -m "not alone and not chaos" $(PYTEST_ARGS) || [ $$? -eq $(if $(strip $(PYTEST_ARGS)),5,0) ]
	$(BIN)/python -m pytest -m alone $(PYTEST_ARGS) || [ $$? -eq $(if $(strip $(PYTEST_ARGS)),5,0) ]

chaos: $(DEV_STAMP) ## harm real processes, stores and nodes: stalls, kills, lost stores
	$(BIN)/python -m pytest -n 2 -m chaos $(PYTEST_ARGS)

lint: $(DEV_STAMP) ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(DEV_STAMP) ## only the fast tests
	$(BIN)/python -m pytest -n 2 -m "not alone" tests/unit $(PYTEST_ARGS)

native: build/native ## compile the request path to C (needs a C compiler); `make run` then uses it

build/native: $(DEV_STAMP) native/build.py native/modules.txt $(shell find src -name '*.py')
	$(BIN)/python -m native.build --out $@

bench: $(BENCH_STAMP) native ## cost per request beside peers; writes bench/RESULTS.md
	$(BIN)/python -m bench.run --out bench/RESULTS.md $(ARGS)

cache-tests: $(DEV_STAMP) ## the public suite of HTTP caches against this gateway (needs npm and node)
	npm install --silent --ignore-scripts --no-save --prefix build/cache-tests http-cache-tests@0.4.5
	$(BIN)/python tests/cache_suite.py build/cache-tests/node_modules/http-cache-tests

mutants: $(DEV_STAMP) ## break the domain's decisions one by one; a test must notice
	$(BIN)/python -m tests.mutants $(ARGS)

walk: $(DEV_STAMP) ## how many calls, files and changes of file one request and one operator's action take
	$(BIN)/python -m bench.walk

structure: $(DEV_STAMP) ## draw docs/pictures/structure.svg from the imports
	$(BIN)/python docs/structure.py

pictures: $(DEV_STAMP) ## the console's pictures in docs/pictures
	$(BIN)/python docs/pictures.py

lock: $(DEV_STAMP) ## renew the hashed lock files (needs uv)
	for name in "requirements/runtime.txt pyproject.toml requirements/build.in" "requirements/native.txt requirements/native.in" "requirements/dev.txt pyproject.toml requirements/build.in requirements/dev.in" "requirements/bench.txt pyproject.toml requirements/build.in requirements/dev.in requirements/bench.in"; do \
	  set -- $$name; out=$$1; shift; \
	  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o $$out $$@ || exit 1; \
	done

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Spork needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(VENV)/bin/python requirements/runtime.txt pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): $(VENV)/bin/python requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(STAMP)

$(BENCH_STAMP): $(DEV_STAMP) requirements/bench.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

clean: ## remove what make made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .spork
