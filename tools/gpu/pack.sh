#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs what a machine without a network needs to build this project and to run its GPU tests (`make gpu-test`).
#
#   tools/gpu/pack.sh source <file.tar.xz>              this commit, and the headers and sources that the build takes from
#                                                       packages: nlohmann-json, GoogleTest, NVIDIA's TensorRT headers
#   tools/gpu/pack.sh library <library.so> <folder>     a vendor's library, compressed, in parts of at most 64 MiB with
#                                                       checksums; unpack.sh joins and verifies them
#
# PART_BYTES sets another size of the parts. The other machine has torch, CMake, Ninja and a compiler.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
die() { printf 'pack: %s\n' "$*" >&2; exit 1; }

pack_source() {
  local target python
  target=$(realpath -m "$1")
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python=$root/.venv/bin/python
  [ -x "$python" ] || python=python3
  mkdir -p "$work/deps/json" "$work/deps/tensorrt"
  git -C "$root" archive HEAD | tar -x -C "$work" --one-top-level=source
  git -C "$root" rev-parse HEAD > "$work/COMMIT"
  cp -r "$("$python" -c 'import nlohmann_json; print(next(iter(nlohmann_json.__path__)))')/include" "$work/deps/json/"
  [ -d /usr/src/googletest ] || die "GoogleTest's sources are not in /usr/src/googletest (Debian: apt-get install libgtest-dev)"
  cp -rL /usr/src/googletest "$work/deps/"
  # The folders that CMake finds here: tensorrt_rtx, tensorrt11, tensorrt10.
  sed -n 's/^-- TensorRT headers: \([a-z0-9_]*\)_headers in \(.*\)$/\1 \2/p' <(cmake --preset release -S "$root" 2>&1) |
    while read -r name folder; do
      mkdir "$work/deps/tensorrt/$name"
      cp -r "$folder" "$work/deps/tensorrt/$name/include"
    done
  tar -C "$work" -c . | xz -T0 -9 > "$target"
  printf 'pack: %s, %s bytes\n' "$target" "$(stat -c %s "$target")"
}

pack_library() {
  local library=$1 folder=$2 name
  [ -f "$library" ] || die "no such file: $library"
  name=$(basename "$library")
  mkdir -p "$folder"
  rm -f "$folder/$name".*
  # x86 code compresses better with its own filter and a dictionary of the size of the library. Memory: 11 times that.
  xz -T1 --x86 --lzma2=preset=9e,dict=256MiB -c "$library" |
    split --bytes="${PART_BYTES:-$((64 * 1024 * 1024))}" --numeric-suffixes --suffix-length=3 - "$folder/$name.xz."
  (cd "$folder" && sha256sum "$name".xz.* > "$name.parts.sha256")
  (cd "$(dirname "$library")" && sha256sum "$name") > "$folder/$name.sha256"
  ls -l "$folder/$name".xz.*
}

case "${1:-}:$#" in
  source:2) pack_source "$2" ;;
  library:3) pack_library "$2" "$3" ;;
  *) sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
