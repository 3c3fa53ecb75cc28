# shellcheck shell=bash
# Sourced by the run_*.sh: sets PYTHON, unless it is set, to the Python on the PATH if ssd_nb is installed for it, and else to that of .venv.

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then return; fi
    for candidate in python python3 "$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/python"; do
        # without the current folder, where a clone lies as it does here
        if "$candidate" -c 'import sys; del sys.path[0]; from importlib.util import find_spec; sys.exit(find_spec("ssd_nb") is None)' 2> /dev/null; then
            PYTHON=$candidate
            return
        fi
    done
    echo "error: no Python with ssd_nb was found: run 'bash scripts/quickstart.sh', which makes one in .venv, or set PYTHON." >&2
    exit 2
}
find_python
