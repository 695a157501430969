# `make demo` and `make test` each do all of their own set-up; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo/mobilenet_v1_025_224

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# without bytecode each process that a test starts would compile mbgen again
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.runtime ## compile a MobileNet for this machine, build it, run its self-test
	$(BIN)/mbgen compile --target host --alpha 0.25 --dtype int8 --output $(DEMO)
	$(BIN)/mbgen verify $(DEMO)
	@echo
	@echo "The library is in $(DEMO); start with $(DEMO)/README.md."

.PHONY: example
example: system-example $(VENV)/.runtime ## classify a picture on an emulated Cortex-M4
	$(MAKE) -C examples/cortex_m4 run MBGEN=$(CURDIR)/$(BIN)/mbgen PYTHON=$(CURDIR)/$(BIN)/python

.PHONY: test
test: system-test $(VENV)/.dev ## every test, with all the compilers and emulators they need
	$(BIN)/pytest -n auto --dist worksteal

.PHONY: check
check: lint $(VENV)/.dev ## the fast loop: lint, types and the quick tests
	$(BIN)/pytest -n auto --dist worksteal -m "not slow"

.PHONY: lint
lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.dev ## put the sources into the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: docs
docs: $(VENV)/.dev ## the pages in docs/ as a site, in build/site
	$(BIN)/mkdocs build --strict --quiet

.PHONY: wheel
wheel: $(VENV)/.dev ## the installable package, in dist/
	$(BIN)/pip --quiet wheel --no-deps --wheel-dir dist .

.PHONY: bench-peers
bench-peers: $(VENV)/.bench ## mbgen's libraries for this machine beside other runtimes; ARGS="--threads 2"
	$(BIN)/python -m scripts.bench_peers $(ARGS)

.PHONY: clean
clean: ## remove everything that make made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.PHONY: system-demo system-example system-test
system-demo system-example system-test: system-%:
	@scripts/setup-system.sh $*

# Making the environment again over an old one repairs it and keeps its packages.
$(VENV)/.runtime: pyproject.toml | system-demo
	@echo "Installing mbgen and its Python packages into $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | system-demo
	@echo "Installing mbgen, its Python packages and the developers' tools into $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $(VENV)/.runtime $@

$(VENV)/.bench: pyproject.toml $(VENV)/.dev
	@echo "Installing the runtimes that mbgen is compared with into $(VENV)"
	$(BIN)/pip install --quiet --editable '.[bench]'
	@touch $@
