# `make` prints what there is. Everything runs in .venv, which the first command makes.
PYTHON ?= python3
BIN := .venv/bin
OPTIONS := MODEL WEIGHTS LAYER NEURONS SIMILARITY GROUP_SIMILARITY ACTIVATION SELECTIVITY SYNONYMS SOURCE SITE RATE \
	CONNECTIONS REFRESH TEXT FASTTEXT PHRASES INFLECTIONS DESCRIBER DESCRIBER_MODEL DESCRIBE_GROUPS PRICE \
	MAX_CALLS MAX_COST DRY_RUN SCORE SCORE_CONTROL EXACT_TOKENS PRECISION DEVICE MEMORY_MB DATA
KNOWN := $(OPTIONS) REPO PUBLIC OPENAI_BASE_URL PYTHON
UNKNOWN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(filter-out $(KNOWN),$(name))))
ifneq ($(strip $(UNKNOWN)),)
$(error unknown variable $(strip $(UNKNOWN)); there are $(KNOWN))
endif
lower = $(shell echo $(1) | tr A-Z_ a-z-)
quoted = '$(subst ','\'',$(1))'
GIVEN = $(foreach name,$(OPTIONS),$(if $($(name)),--$(call lower,$(name)) $(call quoted,$($(name)))))
DATA_GIVEN = $(if $(DATA),--data $(call quoted,$(DATA)))
DATABASE = $(call quoted,$(or $(DATA),data)/neurons.duckdb)

.PHONY: help data plan report publish sql check test lint bench lock build record clean
.DEFAULT_GOAL := help

help: ## print this help
	@echo "make COMMAND [VARIABLE=value ...]"
	@echo
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 12
	@echo
	@echo "Variables of data, plan, report and publish: $(OPTIONS)"
	@echo "Their meaning: .venv/bin/python -m pipeline run --help"

data: .venv/.installed ## find feature neurons: by default in layer 1 of the embedded model
	@$(BIN)/python -m pipeline run $(GIVEN)

plan: .venv/.installed ## what `make data` has done, what it would do and why
	@$(BIN)/python -m pipeline plan $(GIVEN)

report: .venv/.installed ## pages to look at: open data/report/index.html
	@$(BIN)/python -m pipeline report $(GIVEN)

publish: .venv/.installed ## put the tables on the Hub: REPO=user/name, private unless PUBLIC=1; or DRY_RUN=1
	@$(if $(REPO),,echo "error: REPO is missing: make publish REPO=user/name" >&2; exit 2)
	@$(BIN)/python -m pipeline publish $(call quoted,$(REPO)) $(GIVEN) $(if $(PUBLIC),--public $(call quoted,$(PUBLIC)))

sql: .venv/.installed ## ask the results in SQL, in the duckdb client or our own prompt
	@if command -v duckdb >/dev/null && [ -f $(DATABASE) ]; then duckdb -readonly $(DATABASE); \
	else $(BIN)/python -m pipeline sql $(DATA_GIVEN); fi

check: .venv/.installed ## hold the store against its schemas and checksums
	@$(BIN)/python -m pipeline check $(DATA_GIVEN)

test: .venv/.installed ## run the tests; needs no network
	@$(BIN)/python -m pytest

lint: .venv/.installed ## check the code's form
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

bench: .venv/.installed ## speed as ratios of one run, also in data/bench.json
	@$(BIN)/python tests/bench.py

lock: ## write requirements.lock from what pip finds newest, torch as pinned
	@rm -rf .venv && $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --editable '.[dev]'
	@{ head -n 1 requirements.lock; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu//'; } > .lock
	@mv .lock requirements.lock

build: .venv/.installed ## train the embedded model anew (data/demo/README.md)
	@$(BIN)/python data/demo/build.py

record: .venv/.installed ## record the cassettes anew (cassettes/README.md)
	@$(BIN)/python cassettes/record.py
	@rm -f cassettes/describer/*.yaml cassettes/hub/*.yaml
	@$(BIN)/python -m pytest --record-mode=rewrite tests/test_recorded_answers.py tests/test_recorded_hub.py

clean: ## remove results and environment; the embedded model, fetched pages and paid answers stay
	rm -rf .venv data/site data/report data/export data/dataset data/neurons.duckdb data/bench.json
	if [ -d data/store ]; then find data/store -type f -not -path '*/kept/answers/*' -delete; \
	find data/store -type d -empty -delete; fi

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
