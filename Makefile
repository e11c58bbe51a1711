# The tasks that one types; see CONTRIBUTING.md.
PYTHON ?= python3
BIN := .venv/bin

# What works on copies, in killed processes or on a model: it runs nothing that the rest does not cover.
UNCOVERED := tests/durable/seeded tests/durable/test_crash_points.py tests/durable/test_kill.py

ENGINES := tests/engines/dbos tests/engines/restate

.PHONY: setup test faults engines browser uncovered coverage lint types docs docs-cli format bench instructions

setup:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[dev]'

test:
	$(BIN)/python -m pytest -n 2

faults: # disks that fill and power that fails, slow-downs, and a search of the models: needs gcc, valgrind and Spin
	$(BIN)/python -m pytest -n 2 tests/faults tests/models

engines: # processes that die, on engines: DBOS needs PostgreSQL, Restate its server, which npm installs
	$(BIN)/python -m pytest -n 2 $(ENGINES)

browser: # the web page in a real Chromium, which Debian has; pictures of it go to build/screenshots
	command -v chromium > /dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }
	$(BIN)/python -m pytest -n 2 tests/browser

uncovered: # the rest of what `make test` runs
	$(BIN)/python -m pytest -n 2 $(UNCOVERED)

coverage:
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -n 2 --cov --cov-report= $(UNCOVERED:%=--ignore=%)
	$(BIN)/python -m pytest -n 2 --cov --cov-report= --cov-append $(ENGINES)
	$(BIN)/python -m coverage report --include='*/automa/_core/*,*/automa/journal/*' --fail-under=100
	$(BIN)/python -m coverage report --fail-under=90

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/bandit -q -r src --severity-level medium

types:
	$(BIN)/mypy
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/pyright --ignoreexternal --verifytypes automa

docs: # the site, in build/site: a link to nowhere, a page that is not in the nav, or a name that is not there ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-cli: # docs/reference/cli.md, from the commands
	$(BIN)/python docs/generate_cli.py

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: # some 50 minutes: leave the machine alone meanwhile
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python bench/suite.py

instructions: # what valgrind counts, of the source and of the commit that bench/BASE names
	command -v valgrind > /dev/null || { apt-get update -qq && apt-get install -y -qq valgrind; }
	$(BIN)/python bench/instructions.py
