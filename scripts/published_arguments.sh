# shellcheck shell=bash
# Sourced by the scripts that have the ModelZoo's names and arguments.
#   split_arguments ARGUMENTS...                  puts what begins with -- into OPTIONS, the rest into WORDS
#   published_options NAMES... -- ARGUMENTS...    the same, and the WORDS as options of train.py before the others
# The last two names, pre_trained and its epochs, may be left out, but only together.

split_arguments() {
    local argument
    WORDS=() OPTIONS=()
    for argument in "$@"; do
        case $argument in
            --*) OPTIONS+=("$argument") ;;
            *) WORDS+=("$argument") ;;
        esac
    done
}

published_options() {
    local names=()
    while [ "$1" != -- ]; do names+=("$1"); shift; done
    shift
    split_arguments "$@"
    local all=${#names[@]} given=${#WORDS[@]} i
    if ((given != all && given != all - 2)); then
        echo "error: $((all - 2)) or $all arguments are needed, but $given were given; bash ${0##*/} --help says which." >&2
        exit 2
    fi
    for ((i = given - 1; i >= 0; i--)); do
        [ "${names[$i]}" = - ] || OPTIONS=("--${names[$i]}=${WORDS[$i]}" "${OPTIONS[@]}")
    done
}

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }
