# Two commands do all the set-up: `make serve` and `make test`. Each target makes the environment it needs.
PYTHON ?= python3
PORT ?= 3000
MODEL ?= models/marsad-mini
export BENTOML_DO_NOT_TRACK = True
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help serve test check train score bench format

help:  ## Show this help.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

serve: .venv-serve/ready  ## Answer over HTTP on PORT (3000) with MODEL (models/marsad-mini); installs no torch.
	.venv-serve/bin/marsad serve --model $(MODEL) --port $(PORT)

score: .venv-serve/ready  ## Score documents: make score IN=articles.jsonl OUT=events.jsonl
	@test -n "$(IN)" -a -n "$(OUT)" || { echo "usage: make score IN=articles.jsonl OUT=events.jsonl" >&2; exit 2; }
	.venv-serve/bin/marsad score $(IN) -o $(OUT) --model $(MODEL)

test: .venv/ready  ## Run the tests.
	.venv/bin/python -m pytest

check: .venv/ready  ## Lint and check types.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/ready  ## Put the code into the one form `check` accepts.
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

train: .venv/ready  ## The last stage of the shipped model again: make train DATA=folder (docs/training.md).
	@test -n "$(DATA)" || { echo "usage: make train DATA=folder-with-gold" >&2; exit 2; }
	for seed in 1 2 3; do .venv/bin/marsad train --config training/configs/marsad-mini.toml --data $(DATA) --seed $$seed || exit; done
	.venv/bin/marsad average --config training/configs/marsad-mini.toml --data $(DATA) --seed 1 --seed 2 --seed 3

bench: .venv/ready  ## Measure speed against baselines in the same run (benchmarks/RESULTS.md).
	.venv/bin/python -m benchmarks.throughput --model $(MODEL)
	.venv/bin/python -m benchmarks.server --model $(MODEL)
	.venv/bin/python -m benchmarks.batch_independence --model $(MODEL)
	.venv/bin/python -m benchmarks.overload --model $(MODEL)
	.venv/bin/python -m benchmarks.batch --model $(MODEL)

.venv/ready: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv-serve/ready: requirements/serve.txt pyproject.toml
	$(PYTHON) -m venv .venv-serve
	.venv-serve/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/serve.txt
	.venv-serve/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
