# Two commands do everything on a fresh machine: `make curate` and `make test`. Both set up what they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup curate finetune-demo test test-slow test-gpu test-network test-handoff lint format bench clean

help:  ## Show what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Make the environment in .venv; does nothing when it is up to date

# torch comes first and pinned: with it in place nothing else may choose another build of it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

curate: $(STAMP)  ## Curate the embedded sample: two rounds without key, GPU or network (ARGS="…" adds flags)
	$(BIN)/python -m curation.main --config configs/sample.yaml --synth-gen-rounds 2 $(ARGS)
	$(BIN)/python -m curation.verify data/curated

$(STAMP)-finetune: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[finetune]'
	touch $@

finetune-demo: $(STAMP)-finetune  ## Fine-tune a tiny Llama on the curated sample, on the CPU: losses and ROUGE
	$(BIN)/python -m benchmarks.finetune.demo $(ARGS)

test: $(STAMP)  ## Run the tests that need neither GPU, network nor minutes
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not gpu and not network and not slow'

test-slow: $(STAMP)  ## Run the tests that take minutes or need the shared data
	$(BIN)/python -m pytest -n 2 -m slow

test-gpu: $(STAMP)  ## Run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

test-network: $(STAMP)  ## Run the tests that need the internet
	$(BIN)/python -m pytest -m network

READERS := .venv-handoff-automodel .venv-handoff-nemo
MADE := .venv-handoff-made

test-handoff: $(STAMP) $(READERS:=/.installed)  ## Let those who train read a hand-off folder (environments of their own)
	rm -rf $(MADE)
	$(BIN)/python -m tests.handoff.make_folder $(MADE)
	$(BIN)/python -m pytest -m slow tests/handoff/test_peft.py
	.venv-handoff-automodel/bin/python -m tests.handoff.save_again $(MADE)/model $(MADE)/tokenizer5
	HANDOFF_MADE=$(CURDIR)/$(MADE) .venv-handoff-automodel/bin/python -m pytest -c tests/handoff/reader.ini \
		--confcutdir=tests/handoff tests/handoff/test_automodel.py
	HANDOFF_MADE=$(CURDIR)/$(MADE) .venv-handoff-nemo/bin/python -m pytest -c tests/handoff/reader.ini \
		--confcutdir=tests/handoff tests/handoff/test_nemo2.py

# torch comes first here too; what would bring another build of it is installed without what it asks for.
.venv-handoff-%/.installed: tests/handoff/%.txt tests/handoff/%_alone.txt
	$(PYTHON) -m venv .venv-handoff-$*
	.venv-handoff-$*/bin/python -m pip install --quiet torch==2.13.0
	.venv-handoff-$*/bin/python -m pip install --quiet -r tests/handoff/$*.txt
	.venv-handoff-$*/bin/python -m pip install --quiet --no-deps -r tests/handoff/$*_alone.txt
	touch $@

lint: $(STAMP)  ## Check style, types and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## Run the benchmarks (minutes; see benchmarks/)
	$(BIN)/python -m benchmarks.clean.run
	$(BIN)/python -m benchmarks.scale.run
	$(BIN)/python -m benchmarks.dedup.run --sentences 20000
	$(BIN)/python -m benchmarks.dedup.embed
	$(BIN)/python -m benchmarks.dedup.workers
	$(BIN)/python -m benchmarks.dedup.quality
	$(BIN)/python -m benchmarks.dedup.fuzzy
	$(BIN)/python -m benchmarks.noise.run
	$(BIN)/python -m benchmarks.taxonomy.run tutorials/instructlab-taxonomy/taxonomy --each 20
	$(BIN)/python -m benchmarks.sdg.run
	$(BIN)/python -m benchmarks.sdg.caps
	$(BIN)/python -m benchmarks.sdg.kills
	$(BIN)/python -m benchmarks.journal.run --replies 1000000

clean:  ## Remove the environment, caches and the default output
	rm -rf $(VENV) .venv-handoff-* .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build dist data/curated
