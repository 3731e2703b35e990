# make run    a server on 127.0.0.1:8080 with an embedded database and a demo clinic
# make test   all tests, how long they took and the ten slowest
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled modules are kept: every process that a test starts would compile them anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-encrypted test-data coverage lint audit docs bench bench-search bench-facade bench-attacks bench-encryption bench-failover bench-load bench-tables bench-terminology conformance lock messages definitions capability clean

run: .venv/installed
	$(BIN)/fhir-server serve --open --demo

test: test-data
	$(BIN)/pytest -n auto --dist worksteal --durations=10 -rs

ENCRYPTED = tests/search/test_lookup.py tests/search/test_modifiers.py tests/search/test_values.py tests/search/test_contained_chains.py

test-encrypted: test-data
	TEST_ENCRYPTED=1 $(BIN)/pytest -n auto --dist worksteal $(ENCRYPTED)

coverage: test-data
	$(BIN)/pytest -n auto --dist worksteal --cov --cov-report=term

test-data: .venv/installed-dev
	$(BIN)/python -m tools.fetch_test_data

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: .venv/installed-dev
	$(BIN)/python tools/audit_dependencies.py

docs: .venv/installed-dev
	$(BIN)/mkdocs build

bench: .venv/installed-dev
	$(BIN)/python -m bench $(BENCH)

bench-search: .venv/installed-dev
	$(BIN)/python -m bench.search_at_size $(BENCH)

bench-facade: .venv/installed-dev
	$(BIN)/python -m bench.facade $(BENCH)

bench-load: .venv/installed-dev
	$(BIN)/python -m bench.load $(BENCH)

bench-encryption: .venv/installed-dev
	$(BIN)/python -m bench.encryption $(BENCH)

bench-attacks: .venv/installed-dev
	$(BIN)/python -m bench.attacks $(BENCH)

bench-failover: .venv/installed-dev
	$(BIN)/python -m bench.failover $(BENCH)

bench-terminology: .venv/installed-dev
	$(BIN)/python -m bench.terminology $(BENCH)

conformance: test-data
	$(BIN)/python -m tools.conformance

lock: .venv/installed-dev
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-options --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-options --extra dev --allow-unsafe --output-file requirements-dev.lock pyproject.toml

messages: .venv/installed-dev
	$(BIN)/python -m tools.messages $(MESSAGES)

definitions: .venv/installed-dev
	$(BIN)/python tools/compile_definitions.py

capability: .venv/installed
	$(BIN)/fhir-server capability --output capability_statement.json

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
