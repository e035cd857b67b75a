# The two commands a newcomer needs are `make demo` and `make test`; each makes the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The tests start hundreds of processes: what is compiled once need not be compiled by each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint types fast bench clean lock env

demo: env
	$(BIN)/driftline demo

# Side by side on the cores there are, file by file: the tests of a file may share a control plane.
test: env lint types
	$(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: env
	$(BIN)/mypy --num-workers auto

# What fits between two edits: no servers, no processes.
fast: env
	$(BIN)/pytest -m "not servers and not processes"

bench: env
	$(BIN)/python benchmarks/spawn_rate.py

env: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

# Needs uv. Names no index, so that any index will do.
lock:
	uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url --no-annotate \
		--quiet pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
