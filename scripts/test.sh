#!/usr/bin/env bash
# Runs all tests: the notebooks (nbdev_test), that package and notebooks agree, and the scripts. The last line counts them.
#   bash scripts/test.sh           the quick tier, some minutes
#   bash scripts/test.sh --slow    all tiers: also cells marked `#| slow`, and the whole quick start
#   bash scripts/test.sh -k NAME   only tests whose names hold NAME; all other options go to pytest too
set -euo pipefail

case ${1:-} in
    -h|--help) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac

source "$(dirname "${BASH_SOURCE[0]}")/make_venv.sh"
make_venv || exit 1
cd "$ROOT"
exec "$PYTHON" -m pytest tests -p no:cacheprovider -n 2 --dist loadgroup --durations=8 -q "$@"
