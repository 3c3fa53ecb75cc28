#!/usr/bin/env bash
# Makes a website of the notebooks, with all saved outputs, that opens without a network: a page for each, the README, and links between them; on one a detector runs, on some sliders move.
#   bash scripts/build_site.sh [FOLDER] [--detector=FILE]   FOLDER is site unless given; open FOLDER/index.html
set -euo pipefail

case ${1:-} in
    -h|--help) sed -n '2,3s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac

source "$(dirname "${BASH_SOURCE[0]}")/make_venv.sh"
make_venv || exit 1
exec "$PYTHON" "$ROOT/scripts/maintain/build_site.py" "$@"
