# Everything runs in .venv, which `make` builds on first use from an interpreter >= 3.11 and a package index.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
READY := .venv/.ready
WORKERS ?= 2

.PHONY: demo test test-all test-oracle test-bots lint format bench bench-peers bench-tft clean

# The main job on the embedded real sample: train, evaluate, write the report.
demo: $(READY)
	$(BIN)/quantum-trader run --name demo

test: $(READY)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m "not slow"

test-all: $(READY)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

# Other people's trading engines run the same trades; they need a pandas of their own.
test-oracle: .venv-oracle/.ready
	OMP_NUM_THREADS=1 .venv-oracle/bin/python -m pytest -q tests/oracle

.venv-oracle/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-oracle
	.venv-oracle/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	grep -vE '^(ccxt|cffi|charset-normalizer|fsspec|idna|multidict|pandas|pandas-stubs|propcache|pycparser)==' \
	  constraints.txt > .venv-oracle/constraints.txt
	.venv-oracle/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c .venv-oracle/constraints.txt -e ".[oracle]"
	@touch $@

# Other people's bots run the example strategies; each needs an environment of its own.
test-bots: .venv-freqtrade/.ready .venv-nautilus/.ready
	OMP_NUM_THREADS=1 .venv-freqtrade/bin/python -m pytest -q tests/bots/test_freqtrade.py
	OMP_NUM_THREADS=1 .venv-nautilus/bin/python -m pytest -q tests/bots/test_nautilus.py

# freqtrade needs a newer ccxt, which pins the others.
.venv-freqtrade/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-freqtrade
	.venv-freqtrade/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	grep -vE '^(ccxt|cffi|charset-normalizer|idna|multidict|propcache|pycparser)==' constraints.txt \
	  > .venv-freqtrade/constraints.txt
	.venv-freqtrade/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c .venv-freqtrade/constraints.txt -e . freqtrade==2026.9 pytest
	@touch $@

.venv-nautilus/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-nautilus
	.venv-nautilus/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	grep -vE '^(fsspec|pandas|pandas-stubs)==' constraints.txt > .venv-nautilus/constraints.txt
	.venv-nautilus/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c .venv-nautilus/constraints.txt -e . nautilus_trader==1.221.0 pytest
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict examples/*.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Other people's environments, measured beside ours in one run.
bench-peers: $(READY) .venv-peers/.ready
	$(BIN)/python benchmarks/env.py --peers-python .venv-peers/bin/python

# gym-trading-env goes alone: its ccxt and Flask pins exclude freqtrade, and its environment uses neither.
.venv-peers/.ready: benchmarks/peers/requirements.txt benchmarks/peers/constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r benchmarks/peers/requirements.txt -c benchmarks/peers/constraints.txt
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gym-trading-env==0.3.5
	@touch $@

# Other libraries' Temporal Fusion Transformers, measured beside ours in one run.
bench-tft: $(READY) .venv-tft-peers/.ready
	$(BIN)/python benchmarks/tft.py --peers-python .venv-tft-peers/bin/python

.venv-tft-peers/.ready: benchmarks/tft_peers/requirements.txt benchmarks/tft_peers/constraints.txt
	$(PYTHON) -m venv .venv-tft-peers
	.venv-tft-peers/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-tft-peers/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r benchmarks/tft_peers/requirements.txt -c benchmarks/tft_peers/constraints.txt
	@touch $@

bench: demo
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# torch goes first and by its exact version, so that no other package picks a build for it.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "quantum-trader needs Python >= 3.11; none was found on PATH."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
