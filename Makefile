# Two commands on a fresh machine: `make demo`, `make test`. See README.md.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test notebooks soak lint docs dist clean

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

notebooks: .venv/installed-test
	$(BIN)/python -m pytest tests/flow/test_notebooks.py -n 2

soak: .venv/installed-test
	$(BIN)/python -m pytest -m soak

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	touch $@

docs: .venv/installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -d build/doctrees docs build/docs
	@echo build/docs/index.html

# Wheel and sdist, each installed into a new environment, away from the source, and tried there.
dist: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt build
	rm -rf dist
	$(BIN)/python -m build
	for package in dist/*; do \
		rm -rf build/try && $(PYTHON) -m venv build/try && \
		build/try/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $$package && \
		(cd build/try && bin/ctrobust doctor && bin/ctrobust-train tiny && test -s runs/tiny/report.html) || exit 1; \
	done

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
