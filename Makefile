# make tour: set up and see it run. make test: set up and pass the tests. Everything lives in .venv; `make clean` removes it.
#
# PYTHON  which Python to set up with:   make PYTHON=python3.12 tour
# TORCH   what pip installs as PyTorch, which only `make reference` and `make train` need. On Linux pip's own choice is
#         the large build for graphics cards; the small one, which is enough here, comes from PyTorch's own index:
#         make TORCH="torch --index-url https://download.pytorch.org/whl/cpu" reference
PYTHON ?= $(shell command -v python3 || command -v python || echo python3)
TORCH ?= torch==2.13.0
PY := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: help tour test lint reference notebooks-test browser-test notebooks figures evaluate site lite train clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

.venv/core: pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minigemma needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	"$(PYTHON)" -m venv .venv
	$(INSTALL) --editable .
	@touch $@

.venv/dev: .venv/core
	$(INSTALL) --editable '.[dev,notebooks]'
	@touch $@

.venv/reference: .venv/dev
	$(INSTALL) $(TORCH)
	$(INSTALL) --editable '.[dev,notebooks,reference]'
	@touch $@

tour: .venv/core           ## run the shipped models on a sentence, a picture and a sound; write pictures to out/tour
	$(PY) -m minigemma tour

test: .venv/dev            ## the tests, without PyTorch
	$(PY) -m pytest -m 'not reference and not notebook and not browser'

lint: .venv/dev            ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy minigemma

reference: .venv/reference ## the comparisons with the installed transformers (needs PyTorch, about 1 GB)
	$(PY) -m pytest -m reference

notebooks-test: .venv/dev  ## run every notebook from a clean kernel and move every widget
	$(PY) -m pytest -m notebook

browser-test: .venv/dev    ## open notebooks and the site in a Chromium that is there already, and move things
	$(INSTALL) --editable '.[browser,site]'
	$(PY) -m pytest -m browser

notebooks: .venv/dev       ## open the notebooks
	$(PY) -m jupyter lab notebooks

figures: .venv/core        ## redraw figures/ from the shipped checkpoints
	$(PY) -m minigemma figures --out figures

evaluate: .venv/core       ## what the shipped checkpoints can do, on data they never saw
	$(PY) -m minigemma evaluate

site: .venv/dev            ## the notebooks as a static site in _site (fetches its scripts with npm, once)
	$(INSTALL) --editable '.[site]'
	$(PY) notebooks/site/build.py

lite: .venv/dev            ## the notebooks with Python in the browser, in _lite
	$(INSTALL) --editable '.[lite]'
	$(PY) notebooks/lite/build.py

train: .venv/reference     ## train the shipped checkpoints again from nothing (some hours; training/README.md)
	$(INSTALL) --editable '.[train]'
	$(PY) -m training $(if $(SMOKE),--smoke --work out/train)

clean:                     ## remove the environment and everything that was generated
	rm -rf .venv out _site _lite _lite.build build *.egg-info
