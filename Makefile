# `make demo` and `make test` need Python 3.11 or later, and set up the rest in VENV on first use.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test,plot,dask
comma := ,
# one stamp for each set of extras, so that other ones are installed, too
READY := $(VENV)/.ready-$(subst $(comma),-,$(EXTRAS))

.PHONY: demo test test-all lint clean

demo: $(READY)
	@$(VENV)/bin/python examples/demo.py

test: lint
	@OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n auto --dist worksteal -m "not thorough"

test-all: lint
	@OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n auto --dist worksteal

lint: $(READY)
	@$(VENV)/bin/ruff check --quiet
	@$(VENV)/bin/ruff format --check --quiet

$(READY): pyproject.toml
	@echo "Installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache demo.png
	find . -name __pycache__ -prune -exec rm -rf {} +
