# shellcheck shell=bash
# Sourced by the scripts that have the ModelZoo's names and arguments: turns these into options of train.py.
#   published_options NAMES... -- ARGUMENTS...    puts them into OPTIONS; what begins with -- is an option already
# The last two names, pre_trained and its epochs, may be left out, but only together.

published_options() {
    local names=() words=()
    OPTIONS=()
    while [ "$1" != -- ]; do names+=("$1"); shift; done
    shift
    local argument
    for argument in "$@"; do
        case $argument in
            --*) OPTIONS+=("$argument") ;;
            *) words+=("$argument") ;;
        esac
    done
    local all=${#names[@]} given=${#words[@]} i
    if ((given != all && given != all - 2)); then
        echo "error: $((all - 2)) or $all arguments are needed, but $given were given; bash ${0##*/} --help says which." >&2
        exit 2
    fi
    for ((i = given - 1; i >= 0; i--)); do
        [ "${names[$i]}" = - ] || OPTIONS=("--${names[$i]}=${words[$i]}" "${OPTIONS[@]}")
    done
    export WORDS=("${words[@]}")  # for the script that sources this
}

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }
