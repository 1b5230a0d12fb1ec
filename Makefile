# Each target sets up what it needs by itself; the second run starts in seconds. Nothing outside this folder is changed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
STATE := .deskclock
# A checkout that was moved is set up again.
READY := .venv/.ready-$(shell printf %s '$(CURDIR)' | cksum | cut -d' ' -f1)
RUN := .venv/bin/python -m
export UV_CACHE_DIR := $(CURDIR)/$(STATE)/uv-cache
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup demo up test check bench lock format clean

help:  ## What can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY)  ## Python environment with locked dependencies, PostgreSQL and nats-server

$(READY): requirements-dev.lock requirements-uv.lock pyproject.toml deploy/set-up.sh
	@sh deploy/set-up.sh
	@rm -f .venv/.ready-*
	@touch $@

demo: $(READY)  ## A week of a city's requests, and what became of them, in two minutes on a live board
	@$(RUN) services.console demo

up: $(READY)  ## The whole stack, until Ctrl-C
	@$(RUN) services.console up

test: $(READY)  ## All tests, with coverage
	@$(RUN) pytest -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=term

check: $(READY)  ## Format, lint, types, import contracts, tests
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	.venv/bin/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	$(RUN) pytest -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=term

bench: $(READY)  ## Speed against bare floors, in one table
	@$(RUN) tests.bench

lock: $(READY)  ## Bring the locked dependencies up to date
	$(RUN) uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --group build -o requirements.lock
	$(RUN) uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --extra embedded --extra ical --group dev -o requirements-dev.lock

format: $(READY)  ## Bring the code into the house's form
	$(RUN) ruff format
	$(RUN) ruff check --fix

clean:  ## Remove everything that was made here, kept data too
	rm -rf .venv $(STATE) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
