# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh: makes .venv beside settings.ini, installs the project into it, and sets PYTHON.
# Needs bash and a Python with venv, of a version that settings.ini allows; says so in one sentence if there is none.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=$ROOT/.venv/bin/python

usable_python() {  # prints the first Python that runs, has a version that MindSpore supports, and can make environments
    local candidate
    for candidate in python3.11 python3.12 python3.10 python3 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {  # does nothing if .venv already fits settings.ini
    local python stamp
    stamp=$(cat "$ROOT/settings.ini" "$ROOT/setup.py" | cksum)
    if [ -x "$PYTHON" ] && [ "$(cat "$ROOT/.venv/installed" 2>/dev/null)" = "$stamp" ]; then return; fi
    if ! python=$(usable_python); then
        echo "error: ssd_nb needs Python 3.10, 3.11 or 3.12 with the venv module (on Debian or Ubuntu: apt-get install python3-venv), and found none on the PATH." >&2
        return 1
    fi
    echo "Installing into $ROOT/.venv with $python (about 4 GB; some minutes) ..."
    if [ ! -x "$PYTHON" ]; then "$python" -m venv "$ROOT/.venv" || return 1; fi
    if ! "$PYTHON" -m pip install --disable-pip-version-check --editable "${ROOT}[dev]"; then
        echo "error: the installation failed, see above; mend what it names and run the same command again." >&2
        return 1
    fi
    echo "$stamp" > "$ROOT/.venv/installed"
}
