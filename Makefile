.PHONY: setup demo scratch models smollm2 gemma3 test lint bench calibrate robustness fuzz clean

python ?= python3
venv := .venv
bin := $(venv)/bin
pip := $(bin)/pip install --quiet -c constraints.txt

# The environment is brought up to date when the requirements change. torch comes first, pinned,
# so that no other package pulls in a build of several gigabytes.
$(venv)/ready: pyproject.toml constraints.txt
	$(python) -m venv $(venv)
	$(pip) torch
	$(pip) -e '.[gguf,sae]'
	touch $@

$(venv)/ready-to-test: $(venv)/ready
	$(pip) -e '.[lint]'
	touch $@

setup: $(venv)/ready-to-test

demo: $(venv)/ready
	$(bin)/functok demo

scratch: $(venv)/ready
	$(bin)/functok run scratch

models: $(venv)/ready
	$(bin)/functok models get smollm2-135m gemma-3-270m

smollm2: $(venv)/ready
	$(bin)/functok models get smollm2-135m
	$(bin)/functok run smollm2-135m

gemma3: $(venv)/ready
	$(bin)/functok models get gemma-3-270m
	$(bin)/functok run gemma-3-270m

test: $(venv)/ready-to-test
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || echo \
		"No Chromium is here, so the browser tests are skipped: apt-get install chromium"
	$(bin)/pytest -n 2

lint: $(venv)/ready-to-test
	$(bin)/ruff check --no-cache .
	$(bin)/ruff format --no-cache --check .
	$(bin)/pyright

# models="PATH=GIGABYTES …": see benchmarks/memory.py
# rivals="nnsight=PYTHON transformer-lens=PYTHON": see benchmarks/sweeps.py
bench: setup
	$(bin)/python benchmarks/tokens.py olmo
	$(bin)/python benchmarks/tokens.py gpt2
	$(bin)/python benchmarks/graph.py
	$(bin)/python benchmarks/graph.py --memory-only
	$(bin)/python benchmarks/several.py
	$(bin)/python benchmarks/memory.py $(models)
	$(bin)/python benchmarks/controls.py
	$(bin)/python benchmarks/floors.py
	$(bin)/python benchmarks/sweeps.py $(addprefix --rival ,$(rivals))
	$(bin)/python benchmarks/world.py
	$(bin)/python benchmarks/training.py

# every file of a finished run, damaged in every way, under every command
robustness: $(venv)/ready-to-test
	FUNCTOK_TRIALS=all $(bin)/pytest -n 2 -rP tests/robustness tests/system/test_kill.py

fuzz: $(venv)/ready-to-test
	FUNCTOK_FUZZ=20000 $(bin)/pytest tests/robustness/test_fuzz.py

# about an hour; stopped, it goes on where it was
calibrate: setup
	$(bin)/python benchmarks/calibrate.py

clean:
	rm -rf $(venv) runs .pytest_cache .hypothesis .ruff_cache
