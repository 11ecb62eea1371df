# Each target works on a fresh clone and makes what it needs: a .venv with plain pip, versions from constraints.txt.
PYTHON ?= python3
# Options for pip when it installs torch: `make TORCH="--index-url https://download.pytorch.org/whl/cpu" test` takes the
# build without CUDA on Linux.
TORCH ?=
PY := .venv/bin/python
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/pip

.PHONY: demo demo-embed test check generate bench docs golden clean

demo: .venv/core  ## a tour of the registry: core only, no third-party package
	$(PY) examples/model_registry_demo.py

demo-embed: .venv/embed  ## real embeddings of a model that comes with a package: no hub, no download
	$(PY) examples/registry_similarity.py

test: .venv/models  ## all tests here, and the core ones on every other supported Python that is there
	$(PY) -m pytest
	sh tests/other_pythons.sh $(PY)

check: .venv/dev  ## format, lint, types, import arrows, and that nothing generated is stale
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m basedpyright
	$(PY) -m registry_build generate models.json -o src/registry/_registry.py --check
	$(PY) -m registry_build pages models.json -o docs/MODELS.md --check
	$(PY) docs/make_reference.py --check
	$(PY) docs/make_hardware.py --check
	$(PY) docs/make_cli.py --check
	$(PY) docs/make_openapi.py --check
	$(PY) -m pytest -q tests/test_architecture.py

generate: .venv/dev  ## src/registry/_registry.py and docs/MODELS.md from models.json
	$(PY) -m registry_build generate models.json -o src/registry/_registry.py
	$(PY) -m registry_build pages models.json -o docs/MODELS.md

docs: .venv/dev  ## what is generated of the pages: models, reference, tiers, commands, the HTTP interface
	$(PY) -m registry_build pages models.json -o docs/MODELS.md
	$(PY) docs/make_reference.py
	$(PY) docs/make_hardware.py
	$(PY) docs/make_cli.py
	$(PY) docs/make_openapi.py

golden: .venv/dev  ## rewrite the expected files of tests/build/cases; read the diff before you commit it
	$(PY) tests/build/golden.py

bench: .venv/models  ## every row of docs/benchmarks.md; takes minutes
	$(PY) -m benchmarks

clean:
	rm -rf .venv .venv-* dist .mypy_cache .pytest_cache .ruff_cache .hypothesis src/registry/_registry*

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/pip pyproject.toml constraints.txt models.json schema/models.schema.json
	$(PIP) install --quiet --editable .
	@touch $@

.venv/dev: .venv/core
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@

# torch first and alone: as a requirement of another package, pip would take the newest one.
.venv/torch: .venv/core
	$(PIP) install --quiet $(TORCH) torch
	@touch $@

.venv/embed: .venv/torch
	$(PIP) install --quiet --editable '.[minilm]'
	@touch $@

.venv/models: .venv/dev .venv/torch
	$(PIP) install --quiet --editable '.[dev-models]'
	@touch $@
