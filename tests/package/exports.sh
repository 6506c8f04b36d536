#!/bin/sh
# exports.sh LIBRARY [HEADER]: the library's dynamic symbols are the functions that HEADER declares,
# or, without it, lammpsplugin_init alone.
set -eu

if [ $# -eq 2 ]; then
    wanted=$(grep -oE '\bumas_[a-z0-9_]+\(' "$2" | tr -d '(' | sort -u)
else
    wanted=lammpsplugin_init
fi
found=$(nm -D --defined-only "$1" | awk '{ print $3 }' | sort -u)
if [ "$found" != "$wanted" ]; then
    printf '%s exports\n%s\nand should export\n%s\n' "$1" "$found" "$wanted"
    exit 1
fi
printf '%s exports\n%s\n' "$1" "$found"
