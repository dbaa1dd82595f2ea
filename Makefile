# Everything runs from .venv, which `make setup` makes; a second one has nothing to do.
BIN := .venv/bin
# Two processes, a file at a time (tests/conftest.py says which files stay together).
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: help setup demo test test-fast lint docs docs-serve lock clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv: everything at its locked version (PYTHON=... chooses the interpreter)
	@tools/setup.sh

demo: setup ## the whole pipeline on the built-in digits, into output/demo
	@$(BIN)/atelier run --config configs/mnist.yaml --output output/demo

test: setup ## all tests, the whole pipeline runs among them
	@$(PYTEST)

test-fast: setup ## the quick tests, for the inner loop
	@$(PYTEST) -m "not slow"

lint: setup ## style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Material prints an advertisement for its successor otherwise.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: setup ## the documentation's site, into output/site; a warning is an error
	@$(BIN)/python -m mkdocs build --strict --quiet

docs-serve: setup ## the site at http://localhost:8000, built anew after each change
	@$(BIN)/python -m mkdocs serve --strict

# No setup first: it would check the old lock files against the new setup.py.
lock: ## requirements/*.txt anew from setup.py, with an earlier .venv (UPGRADE=--upgrade takes newer versions)
	@tools/lock.sh $(UPGRADE)

clean: ## remove what was made, except .venv and output
	@rm -rf build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
