#!/bin/sh
# Check the sources under the current folder:
#   lint.sh format CLANG_FORMAT       every file is formatted as .clang-format says
#   lint.sh tidy CLANG_TIDY BUILD     no finding of .clang-tidy; BUILD has compile_commands.json
# A tool that does not run here is a skip (77).
set -eu

usage() {
    echo "usage: lint.sh format CLANG_FORMAT | tidy CLANG_TIDY BUILD" >&2
    exit 2
}

[ $# -ge 2 ] || usage
mode=$1
tool=$2
if ! "$tool" --version >/dev/null 2>&1; then
    echo "skipped: $tool does not run here"
    exit 77
fi

case $mode in
format)
    for folder in core cuda include plugin tests tools; do
        [ ! -d "$folder" ] || find "$folder" -type f \
            \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0
    done | xargs -0 "$tool" --dry-run -Werror
    ;;
tidy)
    [ $# -eq 3 ] || usage
    # What is compiled here but for CUDA and the code of others.  clang does not know the
    # form of an attribute in gcc's omp.h, hence the macro.
    sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$3/compile_commands.json" |
        grep -F "$PWD/" | grep -v -F -e "$PWD/build/" -e "$3/" | grep -v "\.cu$" | sort -u |
        xargs -n 2 -P 2 "$tool" --quiet -p "$3" \
            --extra-arg='-D__malloc__(deallocator)=__malloc__' \
            --extra-arg=-isystem"$(gcc -print-file-name=include)" \
            --extra-arg=-Wno-unknown-warning-option
    ;;
*)
    usage
    ;;
esac
