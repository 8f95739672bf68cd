# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# For CPU-only builds (a few hundred MB instead of 5 GB): TORCH_INDEX=<address of PyTorch's CPU wheel index>
TORCH_INDEX ?=
# Idle OpenMP threads spin; on shared cores one thread per process is the fastest.
export OMP_NUM_THREADS ?= 1

.PHONY: demo base base-whisper test smoke lint types imports packages unit evidence mutants benchmark screenshots clean

demo: $(VENV)/.ready
	@echo "about six minutes on two cores, a quarter of an hour without AVX-512; a table at the end shows what each way of adapting gained and cost"
	$(BIN)/python recipes/speaker_adaptation/run.py --config recipes/speaker_adaptation/hparams/synthetic.yaml \
		--config recipes/speaker_adaptation/hparams/synthetic_demo.yaml --out runs/demo --overwrite

# The European source model that languages are learnt from, `base-whisper` on Whisper-tiny's encoder; SPEECH=<folder of corpora that cannot be fetched>.
SPEECH ?=
BASE_CORPORA = asterisk-en asterisk-es asterisk-fr asterisk-it asterisk-ru fillets-cs fillets-nl tuxpaint festvox-ru queen
base: $(VENV)/.ready
	for corpus in $(BASE_CORPORA); do $(BIN)/asr-transfer fetch $$corpus || exit 1; done
	$(BIN)/asr-transfer prepare languages --out data/languages $(if $(SPEECH),--speech $(SPEECH))
	$(BIN)/asr-transfer train --config recipes/multilingual/hparams/base.yaml --out runs/base --resume

base-whisper: $(VENV)/.ready
	for corpus in $(BASE_CORPORA); do $(BIN)/asr-transfer fetch $$corpus || exit 1; done
	$(BIN)/asr-transfer prepare languages --out data/languages $(if $(SPEECH),--speech $(SPEECH))
	$(BIN)/asr-transfer train --config recipes/multilingual/hparams/base_whisper.yaml --out runs/base-whisper --resume

test: lint types imports packages unit

# What another Python is run on: PYTHON=python3.13 VENV=.venv-3.13
SMOKE := tests/test_wheel.py tests/test_without_voices.py tests/test_door.py tests/test_audio.py tests/test_cli.py \
	tests/data tests/models tests/training/test_trainer.py tests/evaluation/test_scoring.py \
	--ignore tests/models/pretrained/test_family_battery.py
smoke: packages
	$(BIN)/python -m pytest -n 2 --dist loadfile $(SMOKE)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

imports: $(VENV)/.ready
	$(BIN)/lint-imports

packages: $(VENV)/.ready
	$(BIN)/python -m pip check

# Exit code 3 is no failed test: two processes of pytest-xdist died in the same moment, which its scheduler does not
# outlive. What they died of stands above; all tests then run once more.
unit: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --dist loadfile || { [ $$? = 3 ] && $(BIN)/python -m pytest -n 2 --dist loadfile; }

# Every figure, command and commit of the pages against the records; `unit` runs it too, but for the run.
evidence: $(VENV)/.ready
	$(BIN)/python -m docs.evidence

# How many plausible bugs do the tests catch? WORKERS at a time, each in a copy of the tracked files.
WORKERS ?= 2
mutants: $(VENV)/.ready
	$(BIN)/python -m tests.mutants --workers $(WORKERS)

# Most of what docs/speed.md measures, with few rounds: a quarter of an hour on two cores. The page has the whole commands.
benchmark: $(VENV)/.ready
	$(BIN)/python benchmarks/training.py --rounds 2 --steps 3
	$(BIN)/python benchmarks/step_profile.py --quick true
	$(BIN)/python benchmarks/adaptation.py --methods '[full, first-layers, kld, lhuc]' --auto false --sharing false
	$(BIN)/python benchmarks/choosing.py --kinds '[digits]'
	$(BIN)/python benchmarks/transcribing.py --rounds 1
	$(BIN)/python benchmarks/beam.py --rounds 1
	$(BIN)/python benchmarks/corpora.py --files 100 --utterances 5000
	$(BIN)/python benchmarks/images.py --count 1
	$(BIN)/python benchmarks/scoring.py --rounds 1

# Pictures of a report for the docs; needs the packages chromium and chromium-driver. RUNS=<run folders> for real ones.
screenshots: $(VENV)/.ready
	PYTHONPATH=. $(BIN)/python docs/screenshots.py $(RUNS)

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
ifneq ($(TORCH_INDEX),)
	$(BIN)/python -m pip install --quiet --index-url $(TORCH_INDEX) $$(grep -oE 'torch(audio)?==[0-9.]+' pyproject.toml)
endif
	$(BIN)/python -m pip install --quiet --editable ".[dev,voices]"
	touch $@

clean:
	rm -rf $(VENV) .venv-* build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
