# make demo   set up what is missing, then run the demonstration experiment
# make test   set up what is missing, then run the tests
# make wear   the tests that take long: a crowd, 100,000 commands, many kills, full disks, wall times
# make lint   ruff and mypy
# make build  set up and build, run nothing
# make clean  remove what was built (not .venv, not runs)

.PHONY: demo test wear lint build system test-system clean
.DELETE_ON_ERROR:

PYTHON ?= python3.11
BIN := .venv/bin
APT := build-essential python3-dev python3-venv git gfortran openmpi-bin libopenmpi-dev \
       libhiredis-dev libnetcdff-dev pkg-config procps graphviz
TEST_APT := redis-server openssl postgresql slurm-wlm munge
KERNELS := $(wildcard _ext/*.pyx _ext/*.pxd _ext/kernels/* _ext/tensorstore/*)
FORTRAN := $(wildcard fortran/Makefile fortran/*/Makefile fortran/*/*.f90 fortran/*/*.[ch] fortran/*/*.cpp)

demo: build
	$(BIN)/parslflow run configs/experiments/demo.toml --site local

# Two at a time: much of what they do is waiting. Those of a file share its servers.
test: test-system build
	$(BIN)/python -m pytest -n 2 --dist loadfile

wear: test-system build
	$(BIN)/python -m pytest --long -o faulthandler_timeout=0 tests/store/test_fuzz.py tests/store/test_soak.py tests/store/test_crash.py \
	  tests/provenance/test_kill.py tests/integration/test_faults.py tests/integration/test_slurm.py \
	  tests/integration/test_full_disk.py

lint: build
	$(BIN)/ruff check .
	$(BIN)/mypy

build: build/fortran.done build/kernels.done

# What the system has to provide, from apt, a module system or conda: whatever is found is used.
# With root or sudo the rest is installed; otherwise the one line to run is printed.
define NEED
missing=; need() { command -v $$1 > /dev/null 2>&1 || missing="$$missing $$1"; }
endef

define INSTALL
if [ -z "$$missing" ]; then exit 0; fi; \
echo "Missing:$$missing"; \
if [ "$$(id -u)" = 0 ]; then sudo=; \
elif sudo -n true 2> /dev/null; then sudo=sudo; \
else echo "Run once, then make again:"; \
  echo "  sudo apt-get install -y --no-install-recommends $(1)"; exit 1; fi; \
$$sudo apt-get update -qq; \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1)
endef

system:
	@$(NEED); for tool in gcc g++ gfortran mpiexec mpif90 git dot nf-config pkg-config ps; \
	do need $$tool; done; \
	command -v $(PYTHON) > /dev/null 2>&1 && python=$(PYTHON) || python=python3; \
	$$python -c 'import ensurepip, sysconfig, os, sys; \
	  sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' 2> /dev/null \
	  || missing="$$missing python-headers-and-venv"; \
	pkg-config --exists hiredis 2> /dev/null || missing="$$missing hiredis"; \
	$(call INSTALL,$(APT))

# The servers that the tests start.
test-system: system
	@$(NEED); export PATH=$$PATH:/usr/sbin; \
	for tool in redis-server redis-cli openssl slurmctld munged; do need $$tool; done; \
	ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || need initdb; \
	$(call INSTALL,$(TEST_APT))

# Every package is pinned, so nothing is resolved anew; pip and what builds come first.
build/python.done: requirements.txt | system
	@mkdir -p build
	@python=$$(command -v $(PYTHON) || command -v python3); \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }; \
	$$python -m venv .venv
	$(BIN)/pip install -q pip==26.3 setuptools==80.10.2 wheel==0.48.0
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q --no-deps -r requirements.txt
	touch $@

# pip installs the package with its extensions; where only their sources changed, those are rebuilt.
build/kernels.done: build/python.done pyproject.toml setup.py $(KERNELS)
	$(if $(filter-out $(KERNELS),$?),\
	  PYTHONWARNINGS=ignore $(BIN)/pip install -q --no-deps --no-build-isolation -e .,\
	  $(BIN)/python setup.py -q build_ext --inplace)
	touch $@

build/fortran.done: $(FORTRAN) build/python.done | system
	$(MAKE) -C fortran install PREFIX=$(CURDIR)/.venv PYTHON=$(CURDIR)/$(BIN)/python
	touch $@

clean:
	rm -rf build parslflow/_ext/*.so *.egg-info
	$(MAKE) -C fortran clean
