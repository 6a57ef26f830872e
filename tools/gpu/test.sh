#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make gpu-test`: builds the project with a Python that has torch and CUDA, and runs the tests that need an NVIDIA GPU.
#
#   tools/gpu/test.sh [build folder]        default: build
#
# Environment:
#   PYTHON      the Python (default: .venv/bin/python if it is there, otherwise python3). It needs torch >= 2.11 for CUDA,
#               pytest, pytest-xdist, cmake and ninja; torchvision and transformers for the latency table at the end, in
#               which a model that is slower than eager PyTorch with a CUDA graph is a failure.
#   DEPS        a folder `deps` that tools/gpu/pack.sh packed: headers and sources for machines without a network
#   TENSORRT    which of their TensorRT headers: all (default), or some of tensorrt_rtx, tensorrt11, tensorrt10
#   CXX         the compiler; it must link the same libstdc++.so as torch
#   TORCHTRT_TENSORRT_LIBRARY, TORCHTRT_TENSORRT_RTX_LIBRARY   the vendor's libraries, where no wheel brings them
#   TORCHTRT_CONFORMANCE_TARGET   the conformance suite on this target only (none: not at all); by default it runs on
#               each target that fits the machine, and tools/gpu/targets.py says which and why not
#   BUILD_ONLY=1  builds and runs nothing
#   SANITIZE=1  the C++ GPU tests once more under compute-sanitizer's memory check
#
# What was found, with the names of what failed, is in <build folder>/gpu-test.json; its tables, for docs/gpu.md, come last.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(realpath -m "${1:-build}")
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
python=$(command -v "$python")
export PYTHONPATH=$PWD/py${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1 TORCHTRT_LIBRARY_DIR=$build/lib

"$python" - <<'P' || { echo "gpu-test: torch >= 2.11 with CUDA and an NVIDIA GPU are needed" >&2; exit 1; }
import sys
import torch
print("gpu-test: torch", torch.__version__, "CUDA", torch.version.cuda)
for i in range(torch.cuda.device_count()):
    print("gpu-test:", torch.cuda.get_device_name(i), "compute capability %d.%d" % torch.cuda.get_device_capability(i))
version = tuple(int(part) for part in torch.__version__.split(".")[:2])
sys.exit(not torch.cuda.is_available() or version < (2, 11))
P

options=()
if [ -n "${DEPS:-}" ]; then
  DEPS=$(realpath "$DEPS")
  options+=("-DTORCHTRT_JSON_INCLUDE=$DEPS/json/include")
  if [ ! -e "$DEPS/gtest/lib/cmake/GTest/GTestConfig.cmake" ]; then
    cmake -S "$DEPS/googletest" -B "$DEPS/gtest-build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_GMOCK=OFF \
      -DCMAKE_CXX_STANDARD=20 -DCMAKE_INSTALL_PREFIX="$DEPS/gtest" -DCMAKE_INSTALL_LIBDIR=lib > /dev/null
    cmake --build "$DEPS/gtest-build" --target install > /dev/null
  fi
  options+=("-DGTest_DIR=$DEPS/gtest/lib/cmake/GTest")
  roots=
  for name in ${TENSORRT:-tensorrt_rtx tensorrt11 tensorrt10}; do
    [ ! -d "$DEPS/tensorrt/$name" ] || roots+="${roots:+;}$DEPS/tensorrt/$name"
  done
  [ -z "$roots" ] || options+=("-DTensorRT_ROOT=$roots")
fi
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTORCHTRT_WERROR="${TORCHTRT_WERROR:-OFF}" \
  -DPython3_EXECUTABLE="$python" "${options[@]}"
cmake --build "$build"
cmake --install "$build" --prefix "$build/install" > /dev/null  # what the examples are built against
export TORCHTRT_INSTALL_DIR=$build/install
[ "${BUILD_ONLY:-}" != 1 ] || exit 0

# What each part found, for tools/gpu/report.py: $build/gpu-test.json and the tables of docs/gpu.md.
results=$build/results
rm -rf "$results"
mkdir -p "$results"
"$python" - "$results/about.json" <<'P'
import datetime, json, os, pathlib, subprocess, sys
import torch
packed = pathlib.Path("../COMMIT")  # of tools/gpu/pack.sh
head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
about = {
    "GPUs": f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}",
    "date": datetime.date.today().isoformat(),
    "commit": (packed.read_text() if packed.exists() else head).strip()[:7] or "unknown",
    "torch": torch.__version__,
    "library": os.environ.get("TORCHTRT_TENSORRT_LIBRARY", "of a wheel"),
    "cores": len(os.sched_getaffinity(0)),
}
json.dump(about, open(sys.argv[1], "w"))
P

status=0
for program in torchtrt_runtime_tests torchtrt_torch_tests; do
  "$build/bin/$program" --gtest_brief=1 "--gtest_output=json:$results/$program.json" || { echo "gpu-test: $program: exit status $?" >&2; status=1; }
done
# Every layer as an engine of each library that is there: thousands of builds, so in several processes.
shards=$(nproc)
for library in tensorrt10 tensorrt11 tensorrt_rtx; do
  program=$build/bin/torchtrt_${library}_tests
  [ -x "$program" ] || continue
  processes=()
  for ((shard = 0; shard < shards; ++shard)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard "$program" --gtest_brief=1 \
      "--gtest_output=json:$results/${library}_layers.$shard.json" > "$build/$library.$shard.log" 2>&1 &
    processes+=($!)
  done
  failed=0
  for process in "${processes[@]}"; do wait "$process" || failed=$?; done
  grep -hE '^\[  (PASSED|FAILED|SKIPPED) ' "$build/$library".*.log | sort | uniq -c
  [ "$failed" = 0 ] || { echo "gpu-test: $program: exit status $failed, see $build/$library.*.log" >&2; status=1; }
done
run_pytest() {
  PYTHONPATH=$PWD/tools/gpu:$PYTHONPATH "$python" -m pytest -q -o minversion=0 -p no:cacheprovider -p gpu_failures \
    -rsfE --tb=short "$@" || status=1
}
# Building engines keeps one core of each process busy, and 5 GB of the host's memory.
in_parallel=(-n "$(nproc)" --dist worksteal -m "not alone")
tests=(tests/gpu)
targets=${TORCHTRT_CONFORMANCE_TARGET:-$("$python" tools/gpu/targets.py)}
for target in ${targets/#none/}; do
  echo "gpu-test: conformance suite on $target"
  TORCHTRT_CONFORMANCE_TARGET=$target run_pytest "${in_parallel[@]}" "--junitxml=$results/python_$target.xml" "${tests[@]}" \
    tests/conformance
  tests=()
done
[ -n "$targets" ] || echo "gpu-test: no conformance suite: no target fits this machine" >&2
[ ${#tests[@]} = 0 ] || run_pytest "${in_parallel[@]}" "--junitxml=$results/python.xml" "${tests[@]}"
run_pytest -m alone "--junitxml=$results/alone.xml" tests/gpu
if [ "${SANITIZE:-}" = 1 ]; then
  # Not errors of the interface: some tests make a recording fail on purpose.
  compute-sanitizer --tool memcheck --report-api-errors no --error-exitcode 9 --log-file "$build/memcheck.log" \
    "$build/bin/torchtrt_torch_tests" --gtest_filter='CudaEngine.*' --gtest_brief=1 \
    "--gtest_output=json:$results/compute_sanitizer.json" || status=1
  tail -3 "$build/memcheck.log"
fi
# Last, and alone: no test of answers notices an engine that is slow.
[ -z "${targets/#none/}" ] || "$python" benchmarks/gpu.py --build "$build" --models mlp resnet50 mobilenet_v3 llama --batches 1 \
  --contenders torchtrt torchtrt_graphs eager eager_graph --rounds 4 --call-rounds 0 --must-beat eager_graph \
  --json "$results/latency.json" || status=1
"$python" tools/gpu/report.py "$results" --json "$build/gpu-test.json" || status=1
exit $status
