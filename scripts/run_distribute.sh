#!/usr/bin/env bash
# Trains on several devices, one process for each, and ends when all have ended.
#   bash scripts/run_distribute.sh DEVICE_NUM [--max_restarts=N] [--option=value ...]
# DEVICE_NUM: devices of this host. The options are those of scripts/train.py; --batch_size is for each device.
# --max_restarts=3: if a process dies or a host is lost, all are started again, up to three times, and go on from the last
#   checkpoint; a host that comes back runs the same command. Two deaths at the same step end it.
# Variables:
#   RUN_PLATFORM=Ascend     Ascend, GPU or CPU; the option --run_platform does the same
#   NODE_NUM=1 NODE_RANK=0  hosts in all, each with as many devices, and the number of this one; run the same command on each
#   MASTER_ADDR=127.0.0.1   address of host 0, and a port of it that is free
#   MASTER_PORT=8118
#   RANK_TABLE_FILE=        Ascend: a file that lists all devices (scripts/rank_table.py writes one), instead of address and port
#   LOG_DIR=LOG             folder of the logs and, unless --output_dir is given, of the checkpoints; % stands for the process
#   RESTART_PAUSE=5         seconds before the first restart; each later pause is twice as long, up to ten minutes
# The hosts compare these numbers, and then the data is converted once on each, before the processes start; these compare their
# options and data before the first step. If one of them dies, the others are ended and its last lines are shown.
# Ctrl-C, SIGTERM, or SIGHUP when the terminal is closed: all finish their step, everything is saved, and the same command with
# --resume goes on from there; the exit code is 128 + the signal. The same happens if this script is killed, where Linux runs it.
set -uo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export GLOG_v=${GLOG_v:-4}

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

case ${1:-} in
    -h|--help) usage; exit 0 ;;
    '') usage >&2; exit 2 ;;
esac
# shellcheck source=/dev/null
source "$SCRIPTS/find_python.sh"
export PYTHON
exec "$PYTHON" -c 'from ssd_nb.plumbing.launch import launch_command
from ssd_nb.plumbing.options import run_command
run_command(launch_command)' "$SCRIPTS" "$@"
