#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the locale "decimal_comma" in a folder, for LOCPATH: C.UTF-8 but for its numbers. Distributions' own locales are
# not asked for: minimal machines have none of them, nor their sources.
set -euo pipefail
folder=${1:?usage: make.sh <folder>}
here=$(cd "$(dirname "$0")" && pwd)
base=$(find /usr/lib/locale -maxdepth 1 -iname 'C.utf*8' | head -n 1)
if [[ -z $base ]] || ! command -v localedef > /dev/null; then
  echo "make.sh: expected glibc's localedef and C.UTF-8 in /usr/lib/locale (the package libc-bin)" >&2
  exit 1
fi
rm -rf "$folder/decimal_comma" "$folder/numeric"
mkdir -p "$folder"
# Warns, and returns 1, because the other categories are not defined.
localedef -c --no-archive -f ANSI_X3.4-1968 -i "$here/decimal_comma" "$folder/numeric" 2> "$folder/localedef.log" || true
cp -r "$base" "$folder/decimal_comma"
cp "$folder/numeric/LC_NUMERIC" "$folder/decimal_comma/LC_NUMERIC" || { cat "$folder/localedef.log" >&2; exit 1; }
rm -r "$folder/numeric"
