# Everything runs inside the project's own virtual environment; `make help` lists the targets.

# The first Python on the path that is recent enough and can make virtual environments.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
LIGHT ?= .venv-light
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.ready-docs

OUT ?= out
DATA ?= data/multi30k
PIP_ARGS ?=
PYTEST_ARGS ?= -n 2
# anything: tests also print how much of the code they ran
COV ?=
SITE ?= out/site
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-light test lint format docs hooks bench gallery tiny small small-en-de clean experiment-ssr experiment-modality-gap experiment-skip-links \
	experiment-textual-regularization experiment-combined experiment-decoding experiment-ablations experiment-joint text-to-image paper-tiny pixels table

help:  ## list the targets and the settings
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-33s  %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Settings: OUT=$(OUT) (demo), DATA=$(DATA) (tiny, small, small-en-de, experiments),"
	@echo "          PYTEST_ARGS='$(PYTEST_ARGS)' (test), PYTHON=$(PYTHON),"
	@echo "          COV=$(COV) (test: 1 prints coverage), SITE=$(SITE) (docs),"
	@echo "          PIP_ARGS='$(PIP_ARGS)' (what pip install is given besides)"

# Made again only when the dependencies may have changed. Tests and checks share it, so one marker is enough.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10 or later with the venv module was found; name one: make PYTHON=..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (several GB the first time: torch from PyPI brings its GPU libraries along) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --editable '.[test,lint]'
	@touch $@

# An environment without PyTorch: a twelfth of the disk, and ONNX graphs in its place (docs/onnx.md).
$(LIGHT)/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10 or later with the venv module was found; name one: make PYTHON=..." >&2; exit 2; }
	@test -x $(LIGHT)/bin/python || $(PYTHON) -m venv $(LIGHT)
	@echo "Installing into $(LIGHT) (half a gigabyte) ..."
	@$(LIGHT)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --editable .
	@touch $@

demo-light: $(LIGHT)/.ready  ## the same pictures without PyTorch, into out/demo-light: half a gigabyte instead of seven
	@$(LIGHT)/bin/translatotron-v demo --output $(OUT)/demo-light --force

demo: $(READY)  ## translate the bundled pictures with the shipped weights into out/demo
	@$(BIN)/translatotron-v demo --output $(OUT)/demo --force

test: $(READY)  ## run the tests (COV=1: and print their coverage)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(PYTEST_ARGS) $(if $(COV),--cov --cov-report=term)

lint: $(READY)  ## check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m mypy

format: $(READY)  ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(DOCS_READY): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --editable '.[docs]'
	@touch $@

docs: $(DOCS_READY)  ## build the documents and the API pages into out/site; a dead link is an error
	@$(BIN)/mkdocs build --strict --site-dir $(SITE)
	@echo "built: $(SITE)/index.html"

hooks: $(READY)  ## let git run the checks before every commit
	@$(BIN)/pre-commit install

bench: $(READY)  ## measure speed and memory, as ratios (BENCH_ARGS=--quick: does it work?)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

tiny: $(READY)  ## train the shipped model from DATA, all stages; the same command resumes
	@$(BIN)/python train.py tiny --data $(DATA)

gallery: $(READY)  ## translate the example pages, and twelve layouts with known words, into docs
	@$(BIN)/python examples/gallery.py
	@$(BIN)/python examples/gallery.py --layouts

small: $(READY)  ## train the model of whole pages on the corpora in DATA (docs/data.md); the same command resumes
	@$(BIN)/python train.py small --data $(DATA)
	@$(BIN)/translatotron-v export runs/small/translator -o runs/small/export --matting runs/small/separator --onnx --force

small-en-de: $(READY)  ## the same recipe in the other direction, English to German, as long; the same command resumes
	@$(BIN)/python train.py small_en_de --data $(DATA)
	@$(BIN)/translatotron-v export runs/small_en_de/translator -o runs/small_en_de/export --matting runs/small_en_de/separator --onnx --force

experiment-ssr: $(READY)  ## does self-review keep the reading that fine-tuning forgets? report in docs/experiments
	@$(BIN)/python -m experiments.ssr --data $(DATA)

experiment-modality-gap: $(READY)  ## pictures against the same text, before and after self-distillation
	@$(BIN)/python -m experiments.modality_gap --data $(DATA)

experiment-skip-links: $(READY)  ## shallow states for the decoder: none, linked, linked and detached
	@$(BIN)/python -m experiments.skip_links --data $(DATA)

experiment-textual-regularization: $(READY)  ## text batches, or merged weights, for languages that no picture taught
	@$(BIN)/python -m experiments.textual_regularization --data $(DATA)

experiment-combined: $(READY)  ## which of the four help the tiny recipe together
	@$(BIN)/python train.py combined --data $(DATA)
	@for variant in control self text skip all; do \
		$(BIN)/python evaluate.py texts runs/combined/$$variant --data $(DATA) --mode image,text || exit 1; done

experiment-decoding: $(READY)  ## fewer bits, or pictures in a few passes: what do faster ways of decoding cost?
	@$(BIN)/python train.py translator --config configs/tiny/parallel.yaml data.folder=$(DATA)
	@$(BIN)/python train.py translator --config configs/tiny/parallel2.yaml data.folder=$(DATA)
	@for bits in fp32 int8 bf16; do $(BIN)/python evaluate.py checkpoint tiny --data $(DATA) --split val --limit 256 \
		--precision $$bits --out $(OUT)/decoding/$$bits || exit 1; done
	@for passes in 0 4 8 12 16; do $(BIN)/python evaluate.py checkpoint runs/tiny/parallel2 --data $(DATA) --split val --limit 256 \
		--image-steps $$passes --out $(OUT)/decoding/$$passes || exit 1; done

experiment-ablations: $(READY)  ## each part of the tiny model taken away or replaced, against three seeds of the whole (after: make tiny)
	@$(BIN)/python -m experiments.ablations --data $(DATA)

experiment-joint: $(READY)  ## one model trained as a whole against cascades of its own reader, also on pages that are hard to read
	@$(BIN)/python -m experiments.joint --data $(DATA)

text-to-image: $(READY)  ## train the text-to-image model of the cascades (docs/experiments/comparison.md); the same command resumes
	@$(BIN)/python train.py teacher --config configs/small/text_to_image.yaml data.folder=$(DATA)

paper-tiny: $(READY)  ## train the paper's own graph at a laptop's size, and score it on strips (docs/fidelity.md); the same command resumes
	@$(BIN)/python train.py paper_tiny --data $(DATA)
	@$(BIN)/python evaluate.py checkpoint runs/paper_tiny/export --data $(DATA) --limit 200 --cased

pixels: $(READY)  ## train the pixel-level baseline; the same command resumes
	@$(BIN)/python train.py pixel_baseline --config configs/small/pixel_baseline.yaml data.folder=$(DATA)

table: $(READY)  ## end to end against cascades and pixels, on four kinds of test pages (after: make text-to-image pixels)
	@$(BIN)/python -m experiments.comparison --data $(DATA)

clean:  ## remove what the demo, the tests and the checks left; runs and the environment stay
	rm -rf $(OUT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
