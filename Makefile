# Everything runs from .venv, which `make setup` makes; a second one has nothing to do.
BIN := .venv/bin
# Two processes, a file at a time (tests/conftest.py says which files stay together).
# Bytecode is kept, whatever the environment says: else each process compiles the tests and all that they import anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: help setup demo test test-fast lint docs docs-serve lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with every package at its locked version (PYTHON=... chooses the interpreter)
	@tools/setup.sh

demo: setup ## run the whole pipeline on the built-in digits, into output/demo
	@$(BIN)/atelier run --config configs/mnist.yaml --output output/demo

test: setup ## run all tests, those that run the whole pipeline too
	@$(PYTEST)

test-fast: setup ## run the quick tests, for the inner loop
	@$(PYTEST) -m "not slow"

lint: setup ## check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Material prints an advertisement for its successor otherwise.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: setup ## build the documentation's site into output/site; a warning is an error
	@$(BIN)/python -m mkdocs build --strict --quiet

docs-serve: setup ## show the site at http://localhost:8000 and rebuild it after each change
	@$(BIN)/python -m mkdocs serve --strict

# No setup first: it would check the old lock files against the new setup.py.
lock: ## rewrite requirements/*.txt from setup.py, with an existing .venv (UPGRADE=--upgrade takes newer versions)
	@tools/lock.sh $(UPGRADE)

clean: ## remove builds and caches, but not .venv and output
	@rm -rf build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
