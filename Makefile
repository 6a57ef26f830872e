# The one entry for people and for CI. Everything lands in the checkout: .venv/ build/ install/ demo-out/.
#
#   make demo     from nothing to C++ programs that run a compiled model without Python
#   make test     build, then GoogleTest and pytest
#
# `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
# Warnings are errors for CI; a compiler newer than the one we use must not stop anybody's build.
export TORCHTRT_WERROR ?= OFF
PYTHON ?= python3
JOBS ?= $(shell nproc)
STAMPS := .venv/.stamps
PYTEST_ARGS ?=
BENCH_ARGS ?=
DIFFERENTIAL_ARGS ?= --seed 0 --start 0 --minutes 5 --jobs $(JOBS)
FUZZ_SECONDS ?= 30
CHAOS_SECONDS ?= 120
CHAOS_ARGS ?=

.PHONY: help setup setup-bench build install demo test differential locale-test chaos gpu-test lint format bench bench-gpu asan tsan \
  fuzz tidy wheel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# --- set-up: runs again only when a requirements file or the script changed --------------------------------------------
setup: $(STAMPS)/dev ## create .venv and install pinned packages
setup-bench: $(STAMPS)/bench

$(STAMPS)/dev: requirements/runtime.txt requirements/dev.txt requirements/lock.txt scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh requirements/dev.txt
	@mkdir -p $(@D) && touch $@

$(STAMPS)/bench: $(STAMPS)/dev requirements/bench.txt
	PYTHON=$(PYTHON) scripts/setup.sh requirements/bench.txt
	@mkdir -p $(@D) && touch $@

# --- build ------------------------------------------------------------------------------------------------------------
build/build.ninja: $(STAMPS)/dev CMakePresets.json
	cmake --preset release

build: build/build.ninja ## the libraries, backend modules, binding and C++ tests, in build/
	cmake --build build -j $(JOBS)

install: build ## the relocatable tree with the CMake package, in install/
	@cmake --install build --prefix install > build/install.log || { cat build/install.log; exit 1; }

wheel: setup ## a Python wheel, in dist/
	python -m pip wheel -v --no-deps --no-build-isolation -w dist .

# --- use and check ----------------------------------------------------------------------------------------------------
demo: install ## compile a sentence encoder, save it, run it from C++ without Python
	python examples/demo.py

# A process a core, each with whole files, which share what they compile; one thread each, or they wait for one another.
test: install ## GoogleTest and pytest (PYTEST_ARGS=... to choose)
	ctest --test-dir build --output-on-failure
	OMP_NUM_THREADS=1 python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

differential: build ## programs drawn at random against eager PyTorch, for five minutes (DIFFERENTIAL_ARGS=... for more)
	cd tests && PYTHONPATH=../py python -m differential $(DIFFERENTIAL_ARGS)

# Numbers in our files and messages are the same whatever the process's locale is.
LOCALE_TESTS := tests/py/test_locale.py tests/py/test_save.py tests/conformance/test_normalization.py

locale-test: build ## the C++ tests and a part of pytest in a locale with decimal commas
	tests/locale/make.sh build/locale
	LOCPATH=$(CURDIR)/build/locale TORCHTRT_TEST_LOCALE=decimal_comma ctest --test-dir build --output-on-failure -E tensorrt
	LOCPATH=$(CURDIR)/build/locale TORCHTRT_TEST_LOCALE=decimal_comma python -m pytest -q $(LOCALE_TESTS)

chaos: build ## threads that call, fail, switch modes, load and drop (CHAOS_SECONDS=..., CHAOS_ARGS="--seed 7")
	python tests/chaos/chaos.py --seconds $(CHAOS_SECONDS) $(CHAOS_ARGS)

# Not `setup`: on a GPU machine the tests take the Python that is there (PYTHON=...; DEPS=... without a network).
gpu-test: ## on a machine with an NVIDIA GPU: build with PYTHON's torch, and run what needs the GPU
	PYTHON=$$(command -v $(PYTHON)) tools/gpu/test.sh build-gpu

bench-gpu: ## after gpu-test: calls against bare enqueueV3, models against eager, torch.compile and Torch-TensorRT
	$(PYTHON) benchmarks/gpu.py --build build-gpu $(BENCH_ARGS)

lint: setup ## formatting, types, include directions
	scripts/lint.sh

format: setup ## rewrite the sources in the project's format
	git ls-files -z '*.h' '*.cpp' | xargs -0 -r clang-format -i
	ruff check --fix --quiet .
	ruff format --quiet .

tidy: build ## clang-tidy over the sources that do not include torch (slow)
	scripts/tidy.sh

bench: setup-bench install ## ours against eager, torch.compile, OpenVINO and ONNX Runtime
	cmake --build build --target torchscript_worker openvino_call mode_costs
	build/bin/openvino_call
	python benchmarks/modes.py
	python benchmarks/bench.py $(BENCH_ARGS)

# The sanitizers build the libraries and the C++ tests; the Python tests stay with the release build.
asan: setup ## C++ tests with the address and undefined-behaviour sanitizers
	cmake --preset asan && cmake --build build-asan -j $(JOBS) && ctest --preset asan

tsan: setup ## C++ tests with the thread sanitizer
	cmake --preset tsan && cmake --build build-tsan -j $(JOBS) && ctest --preset tsan

fuzz: setup ## mutated files, texts and expressions into every reader, under the sanitizers (FUZZ_SECONDS=... for each)
	cmake --preset fuzz -DTORCHTRT_FUZZ_SECONDS=$(FUZZ_SECONDS)
	cmake --build build-fuzz -j $(JOBS) --target fuzzers && ctest --preset fuzz

clean: ## remove what was built (not .venv)
	rm -rf build build-* install dist demo-out
