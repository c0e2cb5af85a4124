# Daybreak. `make help` lists what there is.
PYTHON ?= python3
PORT   ?= 8080
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV_VERSION = $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.txt)

# Byte code is compiled at install; children must be allowed to use and write it (5 s against 2.8 s to import airflow.sdk).
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test containers deep crash soak model bench lint format lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

setup: $(READY) ## make .venv with the `daybreak` command in it

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Daybreak needs Python 3.11 or newer; $(PYTHON) is older. Say which one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/uv --version 2>/dev/null | grep -qF ' $(UV_VERSION) ' || $(BIN)/pip install --quiet 'uv==$(UV_VERSION)'
	@echo "setup: installing the locked requirements into $(VENV)"
	@$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.txt requirements-dev.txt
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

demo: $(READY) ## the main job on embedded defaults; ONCE=1 stops at the end, PORT=8080 moves it, PULLS=0 ends with the night, RUNTIME=docker runs services in containers
	@exec $(BIN)/python -m examples.demo --port $(PORT) $(if $(ONCE),--once) $(if $(WAIT),--wait) $(if $(filter 0,$(PULLS)),--no-pulls) $(if $(RUNTIME),--runtime $(RUNTIME))

test: $(READY) ## the whole suite, on two cores; ARGS="-k night" is part of it
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(ARGS)

containers: $(READY) ## long stories on Docker Engines of their own, one after another: a full disk, TLS, SSH, the compose file with two workers
	@$(BIN)/python -m pytest -n 0 -m deep tests/docker tests/stack $(ARGS)

deep: $(READY) ## the stories for which the quarter of an hour of `make test` has no room
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder -m deep $(ARGS)

crash: $(READY) ## kill a landing and a night at each of their points (three quarters of an hour); ARGS="--sample 30"
	@$(BIN)/python -m tests.crash --what landing $(ARGS); landing=$$?; \
	  $(BIN)/python -m tests.crash $(ARGS) && exit $$landing

soak: $(READY) ## 200 pull requests through the lane of a running Airflow while GitHub misbehaves; SOAK=20: so many; ENGINE=1: through its engine alone, ARGS="--pulls 20 --seed 7"
	@$(if $(ENGINE),$(BIN)/python -m tests.merge.soaking,SOAK=$(or $(SOAK),200) $(BIN)/python -m pytest -s tests/system/test_soak.py) $(ARGS)

model: $(READY) ## explore the landing protocol with every crash, takeover and late answer (minutes)
	@$(BIN)/python -m tests.merge

bench: $(READY) ## what it costs, beside what it is compared with; ONLY=dag_import runs one
	@$(BIN)/python -m benchmarks $(ONLY)

lint: $(READY) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY) ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## lock requirements*.in again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.txt requirements.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-dev.txt requirements-dev.in

clean: ## take away all that the other targets made
	rm -rf $(VENV) .venv-aws .demo .bench .pytest_cache .hypothesis .mypy_cache .ruff_cache include/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
