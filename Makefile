# Two commands do everything:  make demo  and  make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check unit format docs man deb bench clean

demo: $(VENV)/.ready  ## Serve some mail on loopback, until Ctrl-C
	@PYTHONUNBUFFERED=1 $(BIN)/python scripts/demo

test: $(VENV)/.ready-test  ## Install what tests need, then run every check and every test
	scripts/install-test-peers
	scripts/check

check: $(VENV)/.ready-test  ## Every check and every test, with what is installed
	scripts/check

unit: $(VENV)/.ready-test  ## The tests that need no servers
	$(BIN)/pytest -q --ignore=tests/system

format: $(VENV)/.ready-test  ## Lay the code out
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.ready-test  ## Write the generated pages anew
	$(BIN)/python scripts/generate-docs

man: docs  ## The manual pages are among the generated pages: read one with man -M docs/man vmail

deb: $(VENV)/.ready-test  ## Build dist/tpop3d-py_VERSION_all.deb (see docs/install.md)
	$(BIN)/python scripts/make-deb

bench: $(VENV)/.ready-test  ## Measure this machine (see docs/performance.md)
	$(BIN)/python scripts/bench
	$(BIN)/python scripts/bench-boxes

clean:
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache demo dist

$(VENV)/.ready: pyproject.toml
	PYTHON=$(PYTHON) scripts/make-venv $(VENV) '.[demo]'
	touch $@

$(VENV)/.ready-test: pyproject.toml
	PYTHON=$(PYTHON) scripts/make-venv $(VENV) '.[demo,test]'
	touch $@ $(VENV)/.ready
