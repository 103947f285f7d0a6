# Everything a contributor types. Each target makes the virtual environment that it needs; `make help` lists them.
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml integrations/langchain/pyproject.toml constraints.txt tools/venv.sh
TORCH := torch==2.13.0# written by hand: on Linux the index's own is a CUDA build (docs/training.md)
export PYTHON

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

# One environment serves both commands: the demo's part first, the tools on top of it.
$(VENV)/.demo: $(INPUTS)
	sh tools/venv.sh $(VENV) any -e '.[demo]' -e integrations/langchain
	touch $@

$(VENV)/.example: $(INPUTS)
	sh tools/venv.sh $(VENV) any -e '.[demo,serve]' --group example
	touch $@

$(VENV)/.dev: $(INPUTS)
	sh tools/venv.sh $(VENV) any -e '.[demo,serve,train,rerank,fewshot,report]' -e integrations/langchain --group dev
	touch $(VENV)/.demo $(VENV)/.example $@

.PHONY: demo
demo: $(VENV)/.demo ## the whole wheel on your own Python's documentation; ARGS="--data DIR" for yours
	$(BIN)/ragwheel demo $(ARGS)

.PHONY: example
example: $(VENV)/.example ## a chat with sources on http://127.0.0.1:8000 (examples/fastapi_chat)
	$(BIN)/uvicorn --app-dir . examples.fastapi_chat.app:app $(ARGS)

# One process for each core; ARGS=-n0 takes one alone. A file's tests stay together and share its fixtures.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

.PHONY: test
test: lint ## every check: lint, types, layers, tests, branch coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

.PHONY: lint
lint: $(VENV)/.dev ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.dev ## let ruff fix and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

PY := 3.10
$(VENV)-py$(PY)/.core: pyproject.toml constraints.txt tools/venv.sh
	sh tools/venv.sh $(VENV)-py$(PY) $(PY) -e . --group test
	touch $@

.PHONY: test-py
test-py: $(VENV)-py$(PY)/.core ## tests of the light core alone on one interpreter: make test-py PY=3.13
	$(VENV)-py$(PY)/bin/python -m pytest $(if $(filter tests%,$(ARGS)),,tests) $(ARGS)

.PHONY: test-all
test-all: ## the same on Python 3.10 to 3.13
	for py in 3.10 3.11 3.12 3.13; do $(MAKE) test-py PY=$$py; done

$(VENV)-clients/.clients: pyproject.toml tests/clients/requirements.txt
	python3 -m venv $(VENV)-clients
	$(VENV)-clients/bin/python -m pip install -q uv
	$(VENV)-clients/bin/uv pip install -q --python $(VENV)-clients/bin/python -e . --group test \
	    -r tests/clients/requirements.txt
	touch $@

.PHONY: test-clients
test-clients: $(VENV)-clients/.clients ## real clients, in an environment of their own; renews docs/works-with.md
	$(VENV)-clients/bin/python -m pytest tests/clients $(ARGS)
	$(VENV)-clients/bin/python -m tests.clients.works_with

.PHONY: test-integrations
test-integrations: $(VENV)/.dev ## LangChain, LlamaIndex, Haystack, DSPy at their lowest and newest release; ARGS=dspy-lowest
	$(BIN)/python tools/integrations.py $(ARGS)

# UI frameworks pin what constraints.txt and each other pin otherwise: every one has an environment of its own.
UIS := streamlit gradio chainlit
UI_TESTS_gradio := tests/browser/test_react.py tests/browser/test_size.py# these need no framework of Python
$(UIS:%=$(VENV)-ui-%/.ui): $(VENV)-ui-%/.ui: pyproject.toml
	$(or $(PYTHON),python3) -m venv $(VENV)-ui-$*
	$(VENV)-ui-$*/bin/python -m pip install -q uv
	$(VENV)-ui-$*/bin/uv pip install -q --python $(VENV)-ui-$*/bin/python -e '.[serve,$*]' \
	    playwright pytest pytest-asyncio hypothesis
	touch $@

integrations/browser/node_modules/.ui: integrations/browser/package-lock.json
	for folder in . tests/react18 tests/react19; do (cd integrations/browser/$$folder && npm ci --silent); done
	touch $@

.PHONY: test-ui $(UIS:%=test-ui-%)
test-ui: $(UIS:%=test-ui-%) ## Streamlit, Gradio, Chainlit and React in a real browser; needs Chromium and Node.js
$(UIS:%=test-ui-%): test-ui-%: $(VENV)-ui-%/.ui integrations/browser/node_modules/.ui
	$(VENV)-ui-$*/bin/python -m pytest tests/ui $(UI_TESTS_$*) -k "not (streamlit or gradio or chainlit) or $*" $(ARGS)

.PHONY: docs
docs: $(VENV)/.dev ## the documentation as a site in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: docs-serve
docs-serve: $(VENV)/.dev ## the same on http://127.0.0.1:8000, searchable, renewed as you write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.PHONY: torture
torture: $(VENV)/.dev ## kills, forks, full disks, power cuts at full size; ARGS="--minutes 30" goes on for so long
	$(BIN)/python -m tests.torture $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## every script under benchmarks/ to its end, at a small size; ARGS="scale" for one
	$(BIN)/python tools/bench.py $(ARGS)

.PHONY: mutants
mutants: $(VENV)/.dev ## small faults put into packages that changed: which do the tests notice? ARGS="journal"
	$(BIN)/python -m tools.mutants $(ARGS)

$(VENV)-release/.release: tools/release_check.py
	$(or $(PYTHON),python3) -m venv $(VENV)-release
	$(VENV)-release/bin/python -m pip install -q build twine
	touch $@

.PHONY: release-check
release-check: $(VENV)-release/.release ## build all distributions, install each afresh, run the README; uploads nothing
	$(VENV)-release/bin/python tools/release_check.py $(ARGS)

$(VENV)-audit/.audit:
	$(or $(PYTHON),python3) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install -q pip-audit
	touch $@

.PHONY: audit
audit: $(VENV)/.dev $(VENV)-audit/.audit ## licences of what constraints.txt pins, and known weaknesses (asks pypi.org)
	$(BIN)/python tools/licences.py
	$(VENV)-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off $(ARGS)

.PHONY: lock
lock: $(VENV)/.dev ## renew constraints.txt; ARGS=--upgrade moves every pin to its newest release
	cp constraints.txt $(VENV)/lock.txt
	printf '%s\n' '-e .[demo,serve,train,rerank,fewshot,report]' '-e integrations/langchain' | \
	    $(BIN)/uv pip compile - --group dev \
	    --universal --python-version 3.10 --output-file $(VENV)/lock.txt $(ARGS) --no-emit-package torch \
	    --no-emit-package ragwheel --no-emit-package ragwheel-langchain --no-header --no-annotate --quiet
	{ grep '^#' constraints.txt; grep -vE '^(cuda|nvidia|triton)' $(VENV)/lock.txt; echo '$(TORCH)'; } \
	    > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

.PHONY: clean
clean: ## remove environments, caches and build products (never a database)
	rm -rf $(VENV) $(VENV)-py* $(VENV)-clients $(VENV)-ui-* $(VENV)-release $(VENV)-audit $(VENV)-*-lowest $(VENV)-*-newest \
	    build dist .coverage .coverage.* htmlcov \
	    .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
