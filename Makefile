# The habits of this repository. Needs only make and Python 3.10 to 3.13; `make PYTHON=python3.12` picks another one.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OUT    ?= out

.PHONY: help demo test lint fix docs bench train-digits train-world clean

help:
	@echo "make demo           install, then ask graphs/world/any_to_any.yaml in every direction; out/index.html shows it"
	@echo "make test           install, then the tests that need no accelerator"
	@echo "make lint           format, lint, types and import rules"
	@echo "make fix            format, and repair what the linter can"
	@echo "make docs           write the generated pages and pictures of docs again"
	@echo "make bench          the benchmarks, as tables"
	@echo "make train-digits   train the weights of graphs/digits again"
	@echo "make train-world    train the weights of graphs/world again"
	@echo "make clean          forget caches and outputs (keeps $(VENV))"

demo: $(VENV)/.installed-train
	$(BIN)/python graphs/world/demo.py -o $(OUT)

# Hundreds of processes that tests start read compiled files, where they may be written.
test: $(VENV)/.installed-test
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not gpu and not slow"

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check --output-format concise .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-test
	$(BIN)/python docs/generate.py

bench: $(VENV)/.installed-test
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

train-digits: $(VENV)/.installed-train
	$(BIN)/python graphs/train.py ldm dit ddpm clip classifier language vlm

train-world: $(VENV)/.installed-train
	$(BIN)/python graphs/train.py tone film any draw

clean:
	rm -rf out runs build .mmm .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The test extra holds the train extra, so one install serves both; a lock makes two makes take turns.
$(VENV)/.installed-train: pyproject.toml constraints.txt
	@$(PYTHON) .ci/install.py $(VENV) train

$(VENV)/.installed-test: pyproject.toml constraints.txt
	@$(PYTHON) .ci/install.py $(VENV) test
