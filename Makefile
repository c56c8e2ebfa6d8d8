# Everything a newcomer needs: `make demo`, `make test`. Each target installs what it lacks.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CORES  := $(shell getconf _NPROCESSORS_ONLN)
.DEFAULT_GOAL := help
export PYTHONDONTWRITEBYTECODE := # the tests start hundreds of processes: none compiles what another has compiled
.PHONY: help demo test soak check bench chaos rehearsal screenshots wordpress plugin lock clean

help: ## what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/run ## try everything: prints links, then `ready http://…` (FRESH=1 begins anew)
	@$(BIN)/room-server demo $(if $(filter-out 0,$(FRESH)),--fresh)

test: $(VENV)/dev browser php ## all tests, on real servers, sockets and a real browser
	$(BIN)/python -m pytest -n $$(( $(CORES) * 2 )) --dist worksteal  # many of them wait

soak: $(VENV)/dev browser php clocks ## the tests that have a long form, in that form: crowds, kills, nonsense, faults (half an hour)
	$(BIN)/python -m pytest --soak

bench: $(VENV)/dev ## speed and memory beside a floor and peers, as Markdown (half an hour)
	$(BIN)/python -m benchmarks

MINUTES ?= 3
SEED    ?= 1
SOCKETS ?= 2000

chaos: $(VENV)/dev clocks ## kill, freeze and cut off everything by chance (MINUTES=3 SEED=1), then prove that nothing is lost
	$(BIN)/python -m tests.chaos chaos --minutes $(MINUTES) --seed $(SEED)

rehearsal: $(VENV)/dev clocks ## a whole webinar (SOCKETS=2000) on a Cluster while one of each process is hurt
	$(BIN)/python -m tests.chaos rehearsal --sockets $(SOCKETS)

check: $(VENV)/dev ## style, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	sh scripts/check-plugin
	$(BIN)/python -m pytest -q tests/test_architecture.py

screenshots: $(VENV)/dev browser php ## the pictures of the README and of docs/wordpress.md, from what runs
	$(BIN)/python scripts/screenshots.py
	PYTHONPATH=. $(BIN)/python scripts/wordpress_screenshots.py

wordpress: $(VENV)/dev php ## a WordPress with the plugin, and a room server beside it, to look at; Ctrl-C ends all
	@$(BIN)/python -m tests.wordpress

plugin: ## the WordPress plugin as an archive: dist/room-server.zip
	@$(PYTHON) scripts/plugin.py dist/room-server.zip

lock: ## pin the newest versions that fit (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade \
	    pyproject.toml --group dev -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet \
	    pyproject.toml --group build -c requirements/dev.txt -o requirements/run.txt

clean: ## remove what was installed and made here
	rm -rf $(VENV) .wordpress .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis dist

$(BIN)/python:
	@sh scripts/make-venv $(PYTHON) $(VENV)

$(VENV)/run: requirements/run.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/run

.PHONY: browser
browser:
	@sh scripts/install-system chromium faketime redis-server php-cli php-sqlite3

.PHONY: php
php:
	@sh scripts/install-system php-cli php-curl php-mbstring php-mysql php-xml mariadb-client-core mariadb-server-core phpunit php-codesniffer gettext
	@sh scripts/install-wordpress .wordpress/core

.PHONY: clocks
clocks:
	@sh scripts/install-system faketime
