# Every command of this project; `make help` lists them.

VENV := .venv
PYTHON := $(VENV)/bin/python
TALLY := $(PYTHON) -m tally.cli
BUILD := .build
MADE := $(VENV)/.made
USER_SET := $(VENV)/.user-set
DEV_SET := $(VENV)/.dev-set
BENCH_SET := $(VENV)/.bench-set
# Its tests, one for each operation, have one id: spread over processes, one of them alone would run. (pytest ends with 5
# where ARGS leave no test of a part.)
ONE_ID := tests/functions/test_schemathesis.py
CHECKOV_SET := $(BUILD)/checkov/.set
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet install
COMPILE_GROUP := UV_CUSTOM_COMPILE_COMMAND='make lock' $(VENV)/bin/uv pip compile --quiet --universal \
	--generate-hashes --python-version 3.11 $(ARGS)
COMPILE := $(COMPILE_GROUP) pyproject.toml

# Only `make up PORT=…`, not a PORT that happens to be in the environment.
ifeq ($(origin PORT),command line)
export TALLY_PORT := $(PORT)
endif
ifeq ($(origin DATA_DIR),command line)
export TALLY_DATA_DIR := $(DATA_DIR)
endif
ifeq ($(origin SAMPLE),command line)
export TALLY_SAMPLE := $(SAMPLE)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up test check format openapi costs bench forecasts lock clean plan deploy rollback destroy logs smoke token moved

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

up: $(USER_SET) ## Start Tally on this machine with sample data (PORT=8080 DATA_DIR=.tally SAMPLE=1)
	@exec $(TALLY) up

test: $(DEV_SET) ## Run all tests, a file on each core (ARGS="-k name" passes options to pytest; -n 0: one process)
	@$(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder --ignore $(ONE_ID) $(ARGS) || [ $$? -eq 5 ]
	@$(PYTHON) -m pytest $(ONE_ID) $(ARGS) || [ $$? -eq 5 ]

check: $(DEV_SET) $(CHECKOV_SET) ## Check format, lint, types, import rules, dependencies, migrations, Terraform, Dockerfile
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PYTHON) -m deptry .
	@mkdir -p $(BUILD)
	$(TALLY) migrate --sql > $(BUILD)/migrations.sql
	$(VENV)/bin/squawk $(BUILD)/migrations.sql
	$(BUILD)/checkov/bin/checkov --config-file terraform/.checkov.yaml
	$(BUILD)/checkov/bin/checkov --skip-download --compact --quiet --framework dockerfile --file Dockerfile

format: $(DEV_SET) ## Format the code and mend what the linter can mend
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

openapi: $(DEV_SET) ## Write the description of the interface to docs/openapi.json
	$(PYTHON) -m tally.http.description docs/openapi.json

costs: $(DEV_SET) ## Compute the tables of docs/costs.md again, after a change of prices or loads
	@$(PYTHON) -m docs.costs.table

bench: $(BENCH_SET) ## Run the benchmarks and write benchmarks/RESULTS.md (ARGS=--quick)
	@$(PYTHON) benchmarks/run.py $(ARGS)

forecasts: $(BENCH_SET) ## Compare methods of forecasting and write the tables of docs/forecast.md
	@$(PYTHON) -m benchmarks.forecasting

lock: $(DEV_SET) ## Pin the dependencies of pyproject.toml with hashes (ARGS=--upgrade for newer ones)
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --extra local --constraint requirements.txt --output-file requirements-local.txt
	$(COMPILE) --extra local --extra dev --constraint requirements-local.txt --output-file requirements-dev.txt
	$(COMPILE) --extra bench --constraint requirements-dev.txt --output-file requirements-bench.txt
	$(COMPILE_GROUP) --group checkov --output-file requirements-checkov.txt

# What is given to make itself, for a script; what happens to be in the environment means something else there.
given = $(strip $(foreach name,$(1),$(if $(filter command%,$(origin $(name))),$(name)='$($(name))')))
SCRIPT = @PYTHON='$(PYTHON)' TALLY='$(TALLY)' exec deploy

plan: $(USER_SET) ## Show what deploy would change on Google Cloud (PROJECT= REGION= ENVIRONMENT=small or VARS=file)
	$(SCRIPT)/deploy.sh plan $(call given,PROJECT REGION ENVIRONMENT VARS DRY_RUN)

deploy: $(USER_SET) ## Deploy to Google Cloud (as plan; YES=1 no question, DRY_RUN=1 print the commands only)
	$(SCRIPT)/deploy.sh $(call given,PROJECT REGION ENVIRONMENT VARS BUILD_REGION YES DRY_RUN)

rollback: $(USER_SET) ## Run the release before (PROJECT= TO=tag YES=1)
	$(SCRIPT)/rollback.sh $(call given,PROJECT TO YES DRY_RUN)

destroy: $(USER_SET) ## Remove all of it from Google Cloud (PROJECT=)
	$(SCRIPT)/destroy.sh $(call given,PROJECT DRY_RUN)

logs: $(USER_SET) ## Show what the functions logged (PROJECT= FUNCTION=record SINCE=1h)
	$(SCRIPT)/logs.sh $(call given,PROJECT FUNCTION SINCE DRY_RUN)

smoke: $(USER_SET) ## Send events and read their figures (PROJECT=, or URL= QUERY_URL= and SMOKE_TOKEN)
	$(SCRIPT)/smoke.sh $(call given,PROJECT URL QUERY_URL DRY_RUN)

token: $(USER_SET) ## Make an API token on Google Cloud (PROJECT= NAME= SCOPES=ingest,read ORGANIZATION= EXPIRES=)
	$(SCRIPT)/token.sh $(call given,PROJECT NAME SCOPES ORGANIZATION EXPIRES DRY_RUN)

clean: ## Remove what was installed, built and cached; data of `make up` stays
	rm -rf $(VENV) $(BUILD) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache shared/*.egg-info
	find functions shared migrations tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A copied or moved folder brings an environment that still points to the old place.
ifneq ($(shell cat $(MADE) 2>/dev/null),$(CURDIR))
$(MADE): moved
endif

$(MADE):
	@found=; \
	for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Tally needs Python 3.11 or newer; this machine has $$(python3 --version 2>/dev/null || echo none)." \
			"Install one (python.org, apt, brew) and run make again." >&2; \
		exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$("$$found" --version) is here without its venv module." \
			"Install it (Debian and Ubuntu: apt install python3-venv) and run make again." >&2; \
		exit 1; \
	fi; \
	rm -rf $(VENV) && "$$found" -m venv $(VENV) && pwd -P > $(MADE)

$(USER_SET): $(MADE) requirements-local.txt pyproject.toml
	@echo 'Installing what Tally needs into $(VENV), once; this takes about a minute …'
	@$(PIP) --require-hashes --requirement requirements-local.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_SET): $(USER_SET) requirements-dev.txt
	@echo 'Installing what tests and checks need into $(VENV), once …'
	@$(PIP) --require-hashes --requirement requirements-dev.txt
	@touch $@

$(BENCH_SET): $(DEV_SET) requirements-bench.txt
	@echo 'Installing what the benchmarks compare with into $(VENV), once …'
	@$(PIP) --require-hashes --requirement requirements-bench.txt
	@touch $@

$(CHECKOV_SET): $(MADE) requirements-checkov.txt
	@echo 'Installing checkov into $(BUILD)/checkov, once …'
	@$(PYTHON) -m venv --clear $(BUILD)/checkov
	@$(BUILD)/checkov/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes \
		--requirement requirements-checkov.txt
	@touch $@
