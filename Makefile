# make tour: set up and see it run. make test: set up and pass the tests. Everything lives in .venv; `make clean` removes it.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: help tour test lint reference notebooks-test notebooks figures site lite evaluate clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/core: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minigemma needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/dev: .venv/core
	$(BIN)/pip install --quiet --editable '.[dev,notebooks]'
	@touch $@

.venv/reference: .venv/dev
	$(BIN)/pip install --quiet '$(TORCH)'
	$(BIN)/pip install --quiet --editable '.[dev,notebooks,reference]'
	@touch $@

tour: .venv/core           ## run the shipped models on a sentence, a picture and a sound; write pictures to out/tour
	$(BIN)/minigemma tour

test: .venv/dev            ## the tests, without PyTorch
	$(BIN)/python -m pytest -m 'not reference and not notebook'

lint: .venv/dev            ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy minigemma

reference: .venv/reference ## the comparisons with the installed transformers (needs PyTorch, about 1 GB)
	$(BIN)/python -m pytest -m reference

notebooks-test: .venv/dev  ## run every notebook from a clean kernel and move every widget
	$(BIN)/python -m pytest -m notebook

notebooks: .venv/dev       ## open the notebooks
	$(BIN)/jupyter lab notebooks

figures: .venv/core        ## redraw figures/ from the shipped checkpoints
	$(BIN)/minigemma figures --out figures

evaluate: .venv/core       ## what the shipped checkpoints can do, on data they never saw
	$(BIN)/minigemma evaluate

clean:                     ## remove the environment and everything that was generated
	rm -rf .venv out _site _lite build *.egg-info
