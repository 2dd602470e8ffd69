.PHONY: setup demo test lint bench calibrate clean

python ?= python3
venv := .venv
bin := $(venv)/bin

# The environment is made anew when the requirements change.
$(venv)/ready: pyproject.toml constraints.txt
	$(python) -m venv $(venv)
	$(bin)/pip install --quiet --upgrade pip
	$(bin)/pip install --quiet -c constraints.txt torch
	$(bin)/pip install --quiet -c constraints.txt -e '.[lint]'
	touch $@

setup: $(venv)/ready

demo: setup
	$(bin)/functok demo

test: setup
	$(bin)/pytest -n 2

lint: setup
	$(bin)/ruff check src tests benchmarks
	$(bin)/ruff format --check src tests benchmarks
	$(bin)/pyright

bench: setup
	$(bin)/python benchmarks/tokens.py

clean:
	rm -rf $(venv) runs .pytest_cache .hypothesis .ruff_cache
