PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test coverage test-all lint docs bench bench-compare mutants fuzz clean

# Train 784-256-10 full-batch on 42,000 embedded MNIST digits; results go to runs/kaggle-rmsprop. That folder is replaced
# only when told: make train OPTIONS=--overwrite
OPTIONS ?=
train: $(VENV)/with-plot
	@$(BIN)/fastfnn train $(OPTIONS) || { echo "options of fastfnn train: make train OPTIONS=--overwrite"; exit 1; }

# Run the whole suite.
test: $(VENV)/with-test
	$(BIN)/python -m pytest

# Run it again and report which lines of fastfnn/ it reaches: watching them takes a fifth longer.
coverage: $(VENV)/with-test
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

# Run the suite on every supported Python that is found, from an installed wheel and from the sdist. It takes half an
# hour; NOX="-s wheel-3.12" runs a part.
NOX ?=
test-all: $(VENV)/with-dev
	$(BIN)/nox $(NOX)

# Check style, formatting and types.
lint: $(VENV)/with-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file bench/mypy.ini bench

# Build the documentation into build/docs; a warning is an error.
docs: $(VENV)/with-docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going docs build/docs

# Measure every kernel and the full-batch step; needs an idle machine. SELECT=full_batch runs a part. Other libraries are
# measured too where they are installed: .venv/bin/pip install ".[bench]"
SELECT ?=
bench: $(VENV)/with-test
	$(BIN)/python bench/run.py $(if $(SELECT),-k "$(SELECT)")

# Compare this checkout with another, entry by entry, in turns. OLD is a commit or a folder.
bench-compare: $(VENV)/with-test
	$(BIN)/python bench/compare.py $(or $(OLD),$(error OLD=... says which commit or folder)) $(if $(SELECT),-k "$(SELECT)")

# Break the kernels on purpose and see each fault caught.
mutants: $(VENV)/with-test
	$(BIN)/python tests/mutants.py

# Damage files of every format at random: each gives a right result or a message of one line.
SECONDS ?= 600
fuzz: $(VENV)/with-test
	$(BIN)/python tests/fuzz.py --seconds $(SECONDS)

clean:
	rm -rf $(VENV) .nox build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/with-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@
