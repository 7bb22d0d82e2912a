# Two commands matter: `make train` and `make test`. Both set up .venv first, once.
PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
PRESET ?= $(shell nvidia-smi > /dev/null 2>&1 && echo gpu || echo quick)
EXP_NAME ?= biped-walking-$(PRESET)
VIDEO = logs/$(EXP_NAME).mp4
REPORT = logs/$(EXP_NAME).html

.DEFAULT_GOAL := help
.PHONY: help setup train play test test-lowest lint types format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## make .venv with everything in it

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14) and "Python 3.10 to 3.13 is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

train: setup ## train with PRESET (quick, or gpu where there is a GPU) and make a video and a report of the result
	$(VENV)/bin/python train.py --preset $(PRESET) --exp-name $(EXP_NAME)
	$(VENV)/bin/python play.py --exp-name $(EXP_NAME) --command 0.5 0 0 --seconds 5 --video $(VIDEO)
	$(VENV)/bin/python play.py --exp-name $(EXP_NAME) --report $(REPORT) --num-envs 16
	@echo 'Film:      $(VIDEO)'
	@echo 'Report:    $(REPORT), a page to open in a browser'
	@echo 'See more:  $(VENV)/bin/python play.py --exp-name $(EXP_NAME)'

play: setup ## show the newest checkpoint
	$(VENV)/bin/python play.py --exp-name $(EXP_NAME)

# Two files at a time: the tests of one share a simulation, and most programs that they start use one core.
test: setup lint types ## lint, type check and run all tests
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

# An environment of its own, so that the usual one stays as it is. With TESTS="tests/ppo tests/test_play.py" a part of them.
test-lowest: $(LOWEST)/.installed ## run all tests with the lowest versions that pyproject.toml allows
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile $(TESTS)

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	touch $@

lint: setup ## check style
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup ## check types
	$(VENV)/bin/mypy

format: setup ## format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean: ## remove .venv and caches, never logs
	rm -rf $(VENV) $(LOWEST) .mypy_cache .pytest_cache .ruff_cache *.egg-info
