# `make` prints what there is. Everything runs in .venv, which the first command makes.
# Variables come from the command line only: one that is exported in a shell does not reach a command.
PYTHON = python3
BIN := .venv/bin
# the settings that people give, as config.py lists them
OPTIONS := $(shell sed -n 's/^    \([a-z_]*\): .* = option\b.*/\1/p' pipeline/config.py | tr a-z A-Z)
KNOWN := $(OPTIONS) REPO PUBLIC ALL OPENAI_BASE_URL PYTHON
given = $(if $(filter command,$(origin $(1))),$($(1)))
UNKNOWN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(filter-out $(KNOWN),$(name))))
ifneq ($(strip $(UNKNOWN)),)
$(error unknown variable $(strip $(UNKNOWN)); there are $(KNOWN))
endif
lower = $(shell echo $(1) | tr A-Z_ a-z-)
quoted = '$(subst ','\'',$(1))'
GIVEN = $(foreach name,$(OPTIONS),$(if $(call given,$(name)),--$(call lower,$(name)) $(call quoted,$(call given,$(name)))))
DATA_GIVEN = $(if $(call given,DATA),--data $(call quoted,$(call given,DATA)))
RAY = $(if $(filter ray,$(call given,ENGINE)),.venv/.ray)
DATABASE = $(call quoted,$(or $(call given,DATA),data)/neurons.duckdb)

PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: help data plan report publish sql check test slow clients cluster truth real lint docs bench lock build record clean
.DEFAULT_GOAL := help

help: ## print this help
	@echo "make COMMAND [VARIABLE=value ...]"
	@echo
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 12
	@echo
	@echo "Variables of data, plan, report and publish: $(OPTIONS)"
	@echo "Their meaning: .venv/bin/python -m pipeline run --help"

data: .venv/.installed $(RAY) ## find feature neurons: by default in layer 1 of the embedded model
	@$(BIN)/python -m pipeline run $(GIVEN)

plan: .venv/.installed ## what `make data` has done, what it would do and why
	@$(BIN)/python -m pipeline plan $(GIVEN)

report: .venv/.installed $(RAY) ## pages to look at: open data/report/index.html; ALL=1: of all
	@$(BIN)/python -m pipeline report $(GIVEN) $(if $(call given,ALL),--all $(call quoted,$(call given,ALL)))

publish: .venv/.installed $(RAY) ## put the tables on the Hub: REPO=user/name, private unless PUBLIC=1; or DRY_RUN=1
	@$(if $(call given,REPO),,echo "error: REPO is missing: make publish REPO=user/name" >&2; exit 2)
	@$(BIN)/python -m pipeline publish $(call quoted,$(call given,REPO)) $(GIVEN) \
		$(if $(call given,PUBLIC),--public $(call quoted,$(call given,PUBLIC)))

sql: .venv/.installed ## ask the results in SQL, in the duckdb client or our own prompt
	@if command -v duckdb >/dev/null && [ -f $(DATABASE) ]; then \
		if duckdb -readonly $(DATABASE) -c 'from settings' >/dev/null 2>&1; then \
			exec duckdb -readonly $(DATABASE); fi; \
		echo "the duckdb client here cannot open" $(DATABASE)"; this is our own prompt" >&2; fi; \
	exec $(BIN)/python -m pipeline sql $(DATA_GIVEN)

check: .venv/.installed ## compare the store with its schemas and checksums
	@$(BIN)/python -m pipeline check $(DATA_GIVEN)

test: .venv/.installed ## run the tests; needs no network
	@$(PYTEST) -m "not slow"

slow: .venv/.installed ## tests that take long
	@$(PYTEST) -m slow

clients: .venv/.installed ## whether other people's programs read the results
	@$(BIN)/python tests/clients/clients.py
	@FETCH_CLIENTS=1 $(BIN)/python -m pytest -rs tests/clients

cluster: .venv/.installed .venv/.ray ## stages on a cluster of Ray, and what becomes of faults
	@RAY_FAULTS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs tests/engine

truth: .venv/.installed ## how true the answers are, on models whose neurons were planted (a quarter of an hour)
	@$(BIN)/python tests/bench/truth.py $(if $(call given,TEXT),--text $(call quoted,$(call given,TEXT))) \
		$(if $(call given,FASTTEXT),--vectors $(call quoted,$(call given,FASTTEXT)))

real: .venv/.real ## two layers of a real model, with real text and vectors, fetched once (an hour and more)
	@$(BIN)/python tests/bench/real.py $(GIVEN)

lint: .venv/.installed ## check the code's form and its types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: .venv/.installed ## rewrite what READMEs say of the code
	@$(BIN)/python tests/docs.py

bench: .venv/.installed ## speed as ratios of one run, also in data/bench.json
	@$(BIN)/python tests/bench/bench.py

lock: ## write requirements.lock from what pip finds newest, torch as pinned
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@{ head -n 1 requirements.lock; .venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu//'; } > .venv-lock/lock
	@mv .venv-lock/lock requirements.lock && rm -rf .venv-lock

build: .venv/.installed ## train the embedded model anew (data/demo/README.md)
	@$(BIN)/python data/demo/build.py

record: .venv/.installed ## record the cassettes anew (cassettes/README.md)
	@$(BIN)/python cassettes/record.py
	@rm -f cassettes/describer/*.yaml cassettes/hub/*.yaml
	@$(BIN)/python -m pytest --record-mode=rewrite tests/generation/test_recorded_answers.py \
		tests/results/publish/test_recorded_hub.py

clean: ## remove results and environment; the embedded model, fetched pages and paid answers stay
	rm -rf .venv .venv-clients .venv-lock data/site data/report data/export data/dataset data/runs data/neurons.duckdb data/bench.json \
		data/truth
	if [ -d data/store ]; then find data/store -type f -not -path '*/kept/answers*/*' -delete; \
	find data/store -type d -empty -delete; fi

.venv/.real: .venv/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock \
		--editable '.[dev,real]'
	@touch $@

.venv/.ray: .venv/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock \
		--editable '.[dev,ray]'
	@touch $@

.venv/.installed: pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON); install Python 3.11" \
		"or newer, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or" \
		"newer is needed, and $(PYTHON) is" $$($(PYTHON) -V 2>&1 | cut -d' ' -f2)"; install a newer" \
		"one, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) lacks venv; on Debian:" \
		"apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into .venv (once; about 1.6 GB)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock \
		--editable '.[dev]'
	@touch $@
