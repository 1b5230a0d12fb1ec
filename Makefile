# Each target sets up what it needs by itself; the second run starts in seconds. Nothing outside this folder is changed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
STATE := .deskclock
# A checkout that was moved is set up again.
READY := .venv/.ready-$(shell printf %s '$(CURDIR)' | cksum | cut -d' ' -f1)
RUN := .venv/bin/python -m
# One process more than there are cores, as some tests wait; each has a PostgreSQL and a NATS of its own.
TESTS = $(RUN) pytest -n $$(($$(getconf _NPROCESSORS_ONLN || echo 1) + 1)) --maxprocesses 5 --dist worksteal
export UV_CACHE_DIR := $(CURDIR)/$(STATE)/uv-cache
export UV_PYTHON_DOWNLOADS := never
# Compiled once instead of at each start of each process: it halves the time of the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo up test fuzz check faults bench bench-routing lock format clean

help:  ## What can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 15

setup: $(READY)  ## Python environment with locked dependencies, PostgreSQL and nats-server

$(READY): requirements-dev.lock requirements-uv.lock pyproject.toml deploy/set-up.sh
	@sh deploy/set-up.sh
	@rm -f .venv/.ready-*
	@touch $@

demo: $(READY)  ## A week of a city's requests, and what became of them, in two minutes on a live board
	@$(RUN) services.console demo

up: $(READY)  ## The whole stack, until Ctrl-C
	@$(RUN) services.console up

test: $(READY)  ## All tests
	@$(TESTS)

fuzz: $(READY)  ## Generated cases, twenty times as many as in the tests
	@DESKCLOCK_TEST_EFFORT=20 $(TESTS) tests/properties tests/conformance/test_random_tickets.py tests/integration/api/test_bad_input.py tests/integration/test_many_routers.py
	@$(RUN) tests.walked

check: $(READY)  ## Format, lint, types, import contracts, tests with coverage
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	.venv/bin/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	$(TESTS) --cov --cov-report=term

faults: $(READY)  ## Kills, stops and starves everything while promises break; ARGS="--minutes 30 --seed 7", ARGS=--help
	@$(RUN) tests.faults.suite $(ARGS)

bench: $(READY)  ## Speed against bare floors, in one table
	@$(RUN) tests.bench

bench-routing: $(READY)  ## Routing beside what helpdesks ship, simulated; ARGS="--seed 7 --mix shifted", ARGS=--help
	@$(RUN) tests.bench.routing $(ARGS)

lock: $(READY)  ## Bring the locked dependencies up to date
	$(RUN) uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --group build -o requirements.lock
	$(RUN) uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --extra apprise --extra embedded --extra ical --extra train --group dev -o requirements-dev.lock

format: $(READY)  ## Bring the code into the house's form
	$(RUN) ruff format
	$(RUN) ruff check --fix

clean:  ## Remove everything that was made here, kept data too
	rm -rf .venv $(STATE) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
