# Everything here runs in .venv, which is made on first use from the locked, hashed requirement files.
# PYTHON=python3.12 chooses the interpreter of .venv; ARGS="-k quota" goes to pytest, or to the benchmarks.

PYTHONS := $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALLED := .venv/.installed

# The demonstration needs a sixth of what development needs. Where that is there already, it is used.
DEMO := $(if $(wildcard $(INSTALLED)),.venv,build/demo)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all coverage test-rest fresh lint types layers check simulate simulate-replicas sabotage zones crashes bench bench-quick pictures terminal recording house mutants docs format requirements dist ways clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# Make dies of an interrupt whatever its recipe says. So, on a terminal, job control hands the terminal to the demo:
# Ctrl-C reaches the demo only, which stops in good order, and make ends with the demo's exit code.
demo: $(DEMO)/.installed ## simulator and daemon together on a sample fleet, until Ctrl-C
	@case "$$(ps -o stat= -p $$$$ 2>/dev/null)" in \
	*+*) set -m; $(DEMO)/bin/pcc-reconciler demo; exit $$? ;; \
	*) exec $(DEMO)/bin/pcc-reconciler demo ;; \
	esac

# A process for each processor. What is set up for one module is set up once: its tests stay together.
SPREAD := --numprocesses $(or $(PROCESSES),auto) --dist loadscope

test: $(INSTALLED) ## every test that needs only Python; PROCESSES=1 runs them one after the other
	@$(BIN)/pytest $(SPREAD) -m "not system" $(ARGS)

test-all: $(INSTALLED) ## also the tests that need other programs
	@$(BIN)/pytest $(SPREAD) $(ARGS)

# The rooms whose own tests run no other process: of these it can be said which branches no test takes.
ROOMS := controller core desired events pcc state

coverage: $(INSTALLED) ## the tests of six rooms, which have to take as many of their branches as before
	@$(BIN)/pytest $(SPREAD) $(ROOMS:%=tests/%) $(ROOMS:%=--cov=reconciler.%) --cov-branch $(ARGS)

test-rest: $(INSTALLED) ## every other test, also those that need other programs
	@$(BIN)/pytest $(SPREAD) $(ROOMS:%=--ignore=tests/%) $(ARGS)

fresh: $(INSTALLED) ## the tests that try many examples, on examples that were never tried before
	@HYPOTHESIS_PROFILE=fresh $(BIN)/pytest $(SPREAD) -m "hypothesis and not system" $(ARGS)

lint: $(INSTALLED) ## ruff: rules and layout
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(INSTALLED) ## mypy, strict
	@$(BIN)/mypy

layers: $(INSTALLED) ## imports go one way
	@$(BIN)/lint-imports --no-logo

check: lint types layers test ## what must pass before a change is sent

simulate: $(INSTALLED) ## years of operation in minutes: SEEDS=200 HOURS=48 FROM=1, SEEDS=fresh, MODE=strict, heard, replicas, ruled or flicker, or DEFECTS=all
	@PYTHONPATH=tests:tests/support $(BIN)/python -m simulation --seeds $(or $(SEEDS),20) --hours $(or $(HOURS),48) --from $(or $(FROM),1) \
	  $(if $(DEFECTS),--defects "$(DEFECTS)") $(if $(JOBS),--jobs $(JOBS)) $(if $(MODE),--mode $(MODE))

zones: $(INSTALLED) ## change windows minute by minute around every change of an offset in two years, in all zones
	@PYTHONPATH=tests:tests/support $(BIN)/python -m zones

crashes: $(INSTALLED) ## end the spool's writer at random: TRIALS=1000 FROM=1; nothing acknowledged may be missing
	@PYTHONPATH=tests:tests/support $(BIN)/python -m crashes --trials $(or $(TRIALS),1000) --from $(or $(FROM),1) \
	  $(if $(DEFECT),--defect $(DEFECT))

simulate-replicas: $(INSTALLED) ## trouble for three replicas that share the accounts: SEEDS=20 HOURS=2 FROM=1
	@PYTHONHASHSEED=0 PYTHONPATH=tests:tests/support $(BIN)/python -m simulation.nemesis --seeds $(or $(SEEDS),20) --hours $(or $(HOURS),2) --from $(or $(FROM),1)

sabotage: $(INSTALLED) ## ten real replicas, some of which lack a check: the rules have to notice each (a minute, alone on the machine)
	@$(BIN)/pytest tests/runtime/sabotage.py $(ARGS)

simulate-events: $(INSTALLED) ## days of receiving and delivering events in seconds: SEEDS=200 HOURS=24 FROM=1
	@PYTHONPATH=tests:tests/support $(BIN)/python -m simulation.deliveries --seeds $(or $(SEEDS),20) --hours $(or $(HOURS),24) --from $(or $(FROM),1) \
	  $(if $(JOBS),--jobs $(JOBS))

bench: $(INSTALLED) ## measure speed and memory beside floors and peers, print a table
	@PYTHONPATH=tests:tests/support $(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(INSTALLED) ## the same, smaller: fails where a ratio is far out of line
	@PYTHONPATH=tests:tests/support $(BIN)/python -m benchmarks --quick $(ARGS)

pictures: $(INSTALLED) ## take the documents' pictures again (needs Chromium; of dashboards also npm and Prometheus)
	@PYTHONPATH=tests/support $(BIN)/python tools/pictures.py $(ARGS)
	@PYTHONPATH=tests/support $(BIN)/python tools/dashboard_pictures.py $(ARGS)

terminal: $(INSTALLED) ## capture again what commands show on a terminal, into docs/terminal.md (with tmux, if there is one)
	@PYTHONPATH=$(CURDIR)/tests/support $(BIN)/python tools/terminal.py

recording: $(INSTALLED) ## record the demonstration on a terminal again, as the picture of the first page
	@$(BIN)/python tools/terminal_recording.py

house: $(INSTALLED) ## how much a reader has to hold in mind: rooms, sizes, density
	@$(BIN)/python tools/house.py

mutants: $(INSTALLED) ## break what decides in every small way; each has to be noticed: ARGS="core --sample 300 --seed 7"
	@$(BIN)/python tools/mutants.py $(ARGS)

docs: $(INSTALLED) ## write what is made from something else: parts of the documents, the dashboards, the PrometheusRule
	@PYTHONPATH=tests/support $(BIN)/python tools/documents.py
	@PYTHONPATH=tests/support $(BIN)/python tools/dashboards.py
	@PYTHONPATH=tests/support $(BIN)/python tools/manifests.py
	@PYTHONPATH=tests/support $(BIN)/python tools/floors.py
	@PYTHONPATH=tests/support $(BIN)/python tools/readme.py
	@$(BIN)/python tools/places.py

format: $(INSTALLED) ## lay out the code, mend what ruff can mend
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

# What a recipe does with the first Python that can make environments; the rest of it is $(1).
with_python = for python in $(PYTHONS); do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
  "$$python" -c 'import ensurepip, venv' 2>/dev/null || { lacks="$$lacks $$python"; continue; }; \
  $(1); exit; \
done; \
if [ -n "$$lacks" ]; \
then echo "Python without its venv module:$$lacks. Install it (Debian, Ubuntu: apt install python3-venv)." >&2; \
else echo "No Python 3.11 or newer among: $(PYTHONS). Install one, or name it: make PYTHON=/path/to/python3" >&2; \
fi; exit 1

# pip says each package as it fetches it; one short line each is progress enough.
build/demo/.installed: requirements/runtime.txt requirements/build.txt pyproject.toml
	@$(call with_python,echo "Making build/demo with $$($$python --version): about 40 packages and half a minute"; \
	  rm -rf build/demo; "$$python" -m venv build/demo && { \
	  build/demo/bin/python -m pip --disable-pip-version-check install --progress-bar off --require-hashes \
	    -r requirements/runtime.txt -r requirements/build.txt || touch build/demo/.failed; \
	  } | while read -r word name rest; do case "$$word" in \
	    (Collecting) echo "  fetching $${name%%==*}" ;; \
	    (Installing) echo "  installing all of them" ;; \
	  esac; done && test ! -e build/demo/.failed && \
	  build/demo/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation \
	    --editable . && touch $@)

# Two stamps: the locked packages are slow to install and change seldom, the project itself takes a second.
.venv/.locked: requirements/dev.txt
	@$(call with_python,echo "Making .venv with $$($$python --version) and the packages of requirements/dev.txt"; \
	  "$$python" -m venv --clear .venv && $(PIP) install --require-hashes -r requirements/dev.txt && touch $@)

$(INSTALLED): .venv/.locked pyproject.toml
	@echo "Installing the project into .venv"
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# With the oldest Python we support, so that what only it needs is locked too, and past the machine's own pip
# configuration. Versions stay where they can: UPGRADE=--upgrade takes the newest, "UPGRADE=-P httpx" one.
# Extras stay in the pins: where one package asks for `coverage[toml]` and the pin says only `coverage`, pip 23 takes
# the newest release for it, finds no hash of that, and gives up. What constrains another file may not have them.
PLAIN_PIP := env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null
COMPILE = $(PLAIN_PIP) CUSTOM_COMPILE_COMMAND="make requirements" build/lock/bin/pip-compile \
  --quiet --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(UPGRADE)

# What pyproject.toml asks for under two keys, one requirement a line.
asked = build/lock/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["$(1)"]["$(2)"], sep="\n")'

# The same of an extra of the project.
extra = build/lock/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(1)"], sep="\n")'

requirements: build/lock ## lock the requirement files again, with hashes (needs python3.11)
	@echo "Locking requirements/runtime.txt, postgres.txt, dev.txt, ways.txt and build.txt: minutes, as every file's hash is fetched"
	@$(COMPILE) --output-file requirements/runtime.txt pyproject.toml
	@$(call extra,postgres) \
	  | $(COMPILE) --constraint requirements/runtime.txt --output-file requirements/postgres.txt -
	@$(call asked,dependency-groups,dev) \
	  | $(COMPILE) --constraint requirements/runtime.txt --output-file requirements/dev.txt pyproject.toml -
	@$(call asked,dependency-groups,ways) | $(COMPILE) --output-file requirements/ways.txt -
	@sed 's/^\([a-z0-9.-]*\)\[[^]]*\]==/\1==/' requirements/dev.txt > build/lock/dev.txt
	@$(call asked,build-system,requires) \
	  | $(COMPILE) --constraint build/lock/dev.txt --output-file requirements/build.txt -

build/lock:
	@python3.11 -m venv $@
	@$(PLAIN_PIP) $@/bin/python -m pip --disable-pip-version-check --quiet install "pip-tools>=7.6,<8" || { rm -rf $@; exit 1; }

dist: build/release/.installed ## build wheel, sdist and chart into dist/: the same commit gives the same bytes
	@rm -rf dist
	@build/release/bin/python tools/release.py build
	@build/release/bin/python tools/release.py chart
	@build/release/bin/python tools/release.py sums

build/release/.installed: requirements/build.txt
	@$(call with_python,rm -rf build/release; "$$python" -m venv build/release && \
	  build/release/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: \
	    -r requirements/build.txt && touch $@)

ways: dist build/ways/.installed ## install it in each way that README.md names, from a clone with the tag, and run the demonstration
	@build/ways/bin/python tools/ways.py $(ARGS)

build/ways/.installed: requirements/ways.txt
	@$(call with_python,rm -rf build/ways; "$$python" -m venv build/ways && \
	  build/ways/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/ways.txt && touch $@)

clean: ## remove .venv, caches and what was built
	@rm -rf .venv build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
