# Two commands on a fresh machine: `make demo`, `make test`. See README.md.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test soak lint clean

# The stamp holds the files that decide what is installed: editing one of them installs again.
.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $@

demo: .venv/installed
	$(BIN)/ctrobust-train demo

test: .venv/installed-test
	$(BIN)/python -m pytest -m "not soak" -n 2

soak: .venv/installed-test
	$(BIN)/python -m pytest -m soak

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
