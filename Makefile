# make demo    install into .venv and run the main job on a small sample
# make test    install, then lint, types and the tests that take seconds: under five minutes on two cores
# make test-slow  the others, on a real QuPath where there is one
# make docs    the documentation as a site in site/, without network
# make wheel   what users get: build it, install it into an environment of its own, and run the demo from there
#
# A machine without a GPU need not take CUDA: make TORCH='torch==2.13.0' ..., or any other torch requirement.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo test test-slow docs wheel lint-groovy install benchmark clean

demo: $(INSTALLED)
	$(BIN)/glomseg demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not (slow or qupath or long)'

test-slow: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m '(slow or qupath) and not long'

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: $(INSTALLED)
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check '$(TORCH)' build/wheel/*.whl
	cd build/wheel && venv/bin/glomseg --version && venv/bin/glomseg demo

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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)' --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf $(VENV) glomseg-demo build site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
