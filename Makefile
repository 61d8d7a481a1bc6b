# Names for commands; the logic is in scripts/. `make run` and `make test` do all the set-up that is missing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
STAMP := .venv/.banger-ready
BIN := .venv/bin

.PHONY: help setup install uninstall man picture run bench-create test nightly fuzz lint fix types check build clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: $(STAMP) ## Install what is missing: Debian packages, .venv, guest programs
	@scripts/setup.sh --check

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh

install: setup ## Link banger and its manual pages into ~/.local, or below PREFIX
	@scripts/install.sh install

uninstall: ## Take those links away; VMs, images and configuration stay
	@scripts/install.sh uninstall

man: setup ## Write the manual pages into build/man
	@$(BIN)/python scripts/make_man.py build/man

picture: setup ## Run a VM and draw the terminal into docs/picture.svg
	@$(BIN)/python scripts/make_picture.py

run: setup ## Boot a VM and run `uname -a` in it
	@$(BIN)/banger vm run --rm -- uname -a

bench-create: setup ## Make and delete VMs, and show stage times; ARGS="--runs 20"
	@$(BIN)/banger bench create $(ARGS)

# A file's tests share what they have made, so they stay together; and the long files come first.
test: setup ## Run the linters and every test that this machine can run
	@scripts/setup.sh --tests
	@$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

nightly: setup ## Run the tests that take too long for every change
	@scripts/setup.sh --nightly
	@$(BIN)/pytest -m nightly

fuzz: setup ## Throw changed tars at the layer reader for a minute (with atheris, if it is installed, until stopped)
	@$(BIN)/python -m tests.fuzz.layer_reader

lint: setup ## Run the linters and type checkers
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/pyright && $(BIN)/lint-imports

fix: setup ## Format, and mend what can be mended by machine
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean: ## Remove what make has built (never a VM, image or cache)
	@rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
