# Two commands do everything on a fresh machine with Python 3.11 or 3.12: make demo, make test.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: install assets demo test lint clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "favchat needs Python 3.11 or 3.12 (and found neither); set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

assets: install
	$(BIN)/favchat assets

demo: assets
	$(BIN)/favchat quickstart
	$(BIN)/favchat demo serve.model=outputs/quickstart/run/model --clip platform/favchat/sample/clips/pexels_0.mp4

test: assets
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist outputs .mypy_cache .ruff_cache .pytest_cache
