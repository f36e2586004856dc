# `make` alone lists what there is to do. On a fresh machine with Rust and Python, `make demo` and
# `make test` each set up all that they need, in `.venv` and `target`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export CARGO_TARGET_DIR ?= $(CURDIR)/target
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python test-slow test-browser test-freethreaded build lint fmt bench docs clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Oxidask needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev --group examples 'cloudpickle>=3.0' 'numpy>=1.26' 'pyyaml>=6.0'
	@touch $@

build: $(VENV)/.installed ## build the extension module into .venv (release profile)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --quiet --release >/dev/null

demo: build ## run the examples: inc/sum, and S(k) of hydrogen on real data
	$(BIN)/python examples/inc_sum.py
	$(BIN)/python examples/structure_factor.py

test: lint test-rust test-python ## all tests but the slow ones, lints included

test-rust: ## tests of the Rust crates
	PYTHON='$(PYTHON)' cargo test --quiet --workspace --exclude oxidask-python --profile checked

test-python: build ## tests of the Python package
	$(BIN)/python -m pytest -m 'not slow and not browser and not freethreaded' --doctest-modules python tests

test-slow: build ## tests that take minutes
	$(BIN)/python -m pytest -m slow --doctest-modules python tests

test-browser: build ## tests of the dashboard in a real Chromium; needs Node, installs Chromium if it may
	tests/browser/prepare.sh
	$(BIN)/python -m pytest -m browser tests/browser

test-freethreaded: ## tests of the Python package without a GIL: PYTHON_FT=/path/to/python3.13t
	tests/freethreaded/run.sh

lint: build ## formatting, clippy, rustdoc, ruff, mypy, and the stub of the extension module
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets --profile checked -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --quiet --no-deps --workspace
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest oxidask._core --allowlist tests/stubtest-allowlist.txt

fmt: $(VENV)/.installed ## format everything
	cargo fmt --all
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

bench: build ## measure what the README claims (needs an idle machine; peers: pip install --group bench)
	cargo bench --quiet -p oxidask-scheduler --bench scheduler_loop
	cargo bench --quiet -p oxidask --bench closures
	cargo bench --quiet -p oxidask-store --bench arena
	PYTHON='$(CURDIR)/$(BIN)/python' cargo bench --quiet -p oxidask-runtime --bench zygote
	cargo bench --quiet -p oxidask-observe --bench layout
	cargo bench --quiet -p oxidask-observe --bench run_file
	for name in delayed_overhead grid_memory order_memory two_threads import_time exit_status futures_overhead shared_memory structure_factor_processes; do $(BIN)/python benches/$$name.py || exit 1; done

docs: build ## run every code block of the documentation, and make a site of it in docs/_build
	$(BIN)/python -m pytest --quiet tests/test_docs.py
	$(BIN)/python -m sphinx -q -W -b html docs docs/_build

clean: ## remove what was built
	rm -rf $(VENV) target python/oxidask/_core*.so
