#!/usr/bin/env bash
# Trains on several devices, one process for each, and ends when all have ended.
#   bash scripts/run_distribute.sh DEVICE_NUM [--option=value ...]
# DEVICE_NUM: devices of this host. The options are those of scripts/train.py; --batch_size is for each device.
# Variables:
#   RUN_PLATFORM=Ascend     Ascend, GPU or CPU; the option --run_platform does the same
#   NODE_NUM=1 NODE_RANK=0  hosts in all, each with as many devices, and the number of this one; run the same command on each
#   MASTER_ADDR=127.0.0.1   address of host 0, and a port of it that is free
#   MASTER_PORT=8118
#   RANK_TABLE_FILE=        Ascend: a file that lists all devices (scripts/rank_table.py writes one), instead of address and port
#   LOG_DIR=LOG             folder of the logs and, unless --output_dir is given, of the checkpoints; % stands for the process
# The data is converted once, before the processes start. If one of them dies, the others are ended and its last lines are shown.
# Ctrl-C or SIGTERM: all finish their step, everything is saved, and the same command with --resume goes on from there.
set -uo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON=${PYTHON:-$(command -v python || command -v python3)}
export GLOG_v=${GLOG_v:-4}

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
fail() { echo "error: $*" >&2; exit 2; }
need_number() { [[ $2 =~ ^[0-9]+$ && $2 -ge $3 ]] || fail "$1 is '$2': give a whole number of at least $3."; }

case ${1:-} in
    -h|--help) usage; exit 0 ;;
    '') usage >&2; exit 2 ;;
esac
need_number DEVICE_NUM "$1" 1
LOCAL=$1
shift

PLATFORM=${RUN_PLATFORM:-Ascend}
LOG_DIR=${LOG_DIR:-LOG}
NODE_NUM=${NODE_NUM:-1} NODE_RANK=${NODE_RANK:-0} MASTER_PORT=${MASTER_PORT:-8118}
OUTPUT=(--output_dir="${LOG_DIR//%/0}")
for option in "$@"; do
    case $option in
        --run_platform=*) PLATFORM=${option#*=} ;;
        --output_dir=*) OUTPUT=() ;;
    esac
done
need_number NODE_NUM "$NODE_NUM" 1
need_number NODE_RANK "$NODE_RANK" 0
need_number MASTER_PORT "$MASTER_PORT" 1
((NODE_RANK < NODE_NUM)) || fail "NODE_RANK is $NODE_RANK: of $NODE_NUM hosts, the first has number 0 and the last $((NODE_NUM - 1))."
[ "$NODE_NUM" = 1 ] || [ -n "${MASTER_ADDR:-}${RANK_TABLE_FILE:-}" ] || fail "MASTER_ADDR is missing: with NODE_NUM=$NODE_NUM, give the address of host 0."
WORLD=$((LOCAL * NODE_NUM)) FIRST=$((LOCAL * NODE_RANK))

OPTIONS=("${OUTPUT[@]}" "$@" --run_platform="$PLATFORM" --distribute=True)
DEVICES=()  # of the processes of this host, where a rank table says it
if [ "$PLATFORM" = Ascend ] && [ -n "${RANK_TABLE_FILE:-}" ]; then
    devices=$("$PYTHON" "$SCRIPTS/rank_table.py" --read="$RANK_TABLE_FILE" --device_num="$LOCAL" --node_rank="$NODE_RANK") || exit 2
    read -r -a DEVICES <<< "$devices"
    RANK_TABLE_FILE=$(cd "$(dirname "$RANK_TABLE_FILE")" && pwd)/$(basename "$RANK_TABLE_FILE")
    export RANK_TABLE_FILE
else
    unset RANK_TABLE_FILE
    export MS_SCHED_HOST=${MASTER_ADDR:-127.0.0.1} MS_SCHED_PORT=$MASTER_PORT MS_WORKER_NUM=$WORLD MS_TOPO_TIMEOUT=${MS_TOPO_TIMEOUT:-7200}
fi
export RANK_SIZE=$WORLD

RANK_ID=$FIRST "$PYTHON" "$SCRIPTS/train.py" "${OPTIONS[@]}" --only_prepare=True || exit $?

declare -A RANK_OF=()  # of each process that runs, by its id
SCHEDULER='' STATUS=0 STOPPING=''

log_of() {  # of a process
    local folder=${LOG_DIR//%/$1}
    if [ "$folder" = "$LOG_DIR" ] && [ "$1" != 0 ]; then echo "$folder/log_$1.txt"; else echo "$folder/log.txt"; fi
}

end_all() {  # TERM now, KILL after some seconds for those that wait for a process that is gone
    local left
    kill -TERM "${!RANK_OF[@]}" 2>/dev/null
    for ((left = 50; left > 0; left--)); do
        kill -0 "${!RANK_OF[@]}" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "${!RANK_OF[@]}" 2>/dev/null
}

say_why() {  # what ended: its name, its exit code, its log
    echo "error: $1 ended with exit code $2; the other processes of this host were ended too. The last lines of $3:" >&2
    grep -v '^\[INFO\]' "$3" | tail -n 15 | sed 's/^/    /' >&2
}

# shellcheck disable=SC2317  # called by the trap
stop() {
    [ -n "$STOPPING" ] && return
    STOPPING=yes
    echo "stopping: every process finishes its step" >&2
    kill -TERM "${!RANK_OF[@]}" 2>/dev/null
}

set -m  # a process group for each: Ctrl-C reaches this script only, which hands it on
trap stop INT TERM
if [ -z "${RANK_TABLE_FILE:-}" ] && [ "$NODE_RANK" = 0 ]; then
    folder=${LOG_DIR//%/0}
    mkdir -p "$folder" || exit 2
    MS_ROLE=MS_SCHED "$PYTHON" -c 'import mindspore; from mindspore.communication import init; mindspore.set_device("CPU"); init()' \
        > "$folder/scheduler.txt" 2>&1 < /dev/null &
    SCHEDULER=$!
fi
for ((i = 0; i < LOCAL; i++)); do
    rank=$((FIRST + i)) log=$(log_of $((FIRST + i))) own=()
    mkdir -p "$(dirname "$log")" || { end_all; exit 2; }
    [ -n "${DEVICES[*]}" ] && own=(--device_id="${DEVICES[$i]}")
    if [ -n "${RANK_TABLE_FILE:-}" ]; then roles=(DEVICE_ID="${DEVICES[$i]}"); else roles=(MS_ROLE=MS_WORKER MS_NODE_ID="$rank"); fi
    env RANK_ID="$rank" "${roles[@]}" "$PYTHON" "$SCRIPTS/train.py" "${OPTIONS[@]}" "${own[@]}" >> "$log" 2>&1 < /dev/null &
    RANK_OF[$!]=$rank
    echo "process $rank of $WORLD: log in $log"
done
tail -n 0 -F "$(log_of "$FIRST")" 2>/dev/null > >(grep --line-buffered -v '^\[INFO\]') &
TAIL=$!
disown "$TAIL"

while ((${#RANK_OF[@]})); do
    for pid in "${!RANK_OF[@]}"; do
        kill -0 "$pid" 2>/dev/null && continue
        wait "$pid" 2>/dev/null
        code=$? rank=${RANK_OF[$pid]}
        unset "RANK_OF[$pid]"
        if ((code && !STATUS)); then
            STATUS=$code
            [ -n "$STOPPING" ] || { end_all; say_why "process $rank of $WORLD" "$code" "$(log_of "$rank")"; }
        fi
    done
    if [ -n "$SCHEDULER" ] && ! kill -0 "$SCHEDULER" 2>/dev/null; then
        wait "$SCHEDULER"
        code=$? SCHEDULER=''
        if ((code && !STATUS && ${#RANK_OF[@]})); then
            STATUS=$code
            end_all
            say_why "the scheduler, which misses a process or cannot use port $MASTER_PORT," "$code" "${LOG_DIR//%/0}/scheduler.txt"
        fi
    fi
    sleep 0.5
done 2> >(grep --line-buffered -v 'Killed\|Terminated' >&2)
kill -TERM "$TAIL" 2>/dev/null
if [ -n "$SCHEDULER" ]; then  # it ends by itself when all is well
    for ((left = STATUS ? 0 : 20; left > 0; left--)); do kill -0 "$SCHEDULER" 2>/dev/null || break; sleep 0.5; done
    kill -KILL "$SCHEDULER" 2>/dev/null
fi
exit "$STATUS"
