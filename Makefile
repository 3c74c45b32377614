# make demo    install into .venv and run the main job on a small sample
# make test    install, then lint, types and tests
#
# A machine without a GPU need not take CUDA: make TORCH='torch==2.13.0' ..., or any other torch requirement.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo test lint-groovy install benchmark clean

demo: $(INSTALLED)
	$(BIN)/glomseg demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# needs Node and Java, and downloads the linter
lint-groovy:
	cd qupath_scripts && npm exec --yes npm-groovy-lint@16.2.0 -- --noserver --failon warning '*.groovy'

benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/segment.py

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "glomseg needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) glomseg-demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
