#!/usr/bin/env bash
# usage: bash scripts/run_infer_310.sh [MINDIR_PATH] [DATA_PATH] [DVPP] [DEVICE_ID] [--option=value ...]
# Runs an exported detector over a data set on an Ascend 310, and measures it.
#   MINDIR_PATH  a .mindir file that scripts/export.py wrote, with its json beside it
#   DATA_PATH    the folder of a COCO, VOC or YOLO data set, or its folder of evaluation images
#   DVPP         DVPP: the device normalises (width a multiple of 16, even height); CPU: this host does; in any case of letters
#   DEVICE_ID    which Ascend; 0 if left out
#   options      of scripts/infer.py, such as --trust=MINDIR_PATH
# Writes into the current folder: result_Files/ (what is found in each image; FOLDER_NAME.json where several have a name), time_Result/, infer.log, acc.log (COCO's table).
# On a host without Ascend, BACKEND=mindspore (or BACKEND=onnx with a .onnx file) before the command does the same.
# PYTHON says which Python to use, if not the one on the PATH or in .venv.
set -uo pipefail

fail() { echo "error: $*" >&2; exit 2; }

case ${1:-} in
    -h|--help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=/dev/null
source "$SCRIPTS/published_arguments.sh"
split_arguments "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
    fail "run_infer_310.sh takes MINDIR_PATH, DATA_PATH, DVPP or CPU, and if you like a DEVICE_ID, but got $# words: --help explains them."
fi

MODEL=$1
DATA=$2
PREPROCESS=$(printf '%s' "$3" | tr '[:lower:]' '[:upper:]')
DEVICE_ID=${4:-0}
BACKEND=${BACKEND:-lite}
# shellcheck source=/dev/null
source "$SCRIPTS/find_python.sh"

case $PREPROCESS in DVPP|CPU) ;; *) fail "DVPP is '$3': give DVPP or CPU." ;; esac
case $DEVICE_ID in ''|*[!0-9]*) fail "DEVICE_ID is '$DEVICE_ID': give a number, such as 0." ;; esac
case $BACKEND in lite|mindspore|onnx) ;; *) fail "BACKEND is '$BACKEND': give lite, mindspore or onnx." ;; esac
[ -f "$MODEL" ] || fail "there is no file MINDIR_PATH=$MODEL: scripts/export.py writes one."

export GLOG_v=${GLOG_v:-4} # MindSpore's harmless messages
"$PYTHON" "$SCRIPTS/infer.py" --model_path="$MODEL" --data_path="$DATA" --backend="$BACKEND" --preprocess="$PREPROCESS" --device_id="$DEVICE_ID" ${OPTIONS[@]+"${OPTIONS[@]}"} > infer.log 2>&1
code=$?
if [ $code -ne 0 ]; then
    grep '^error: ' infer.log >&2 || echo "error: inference ended with code $code, infer.log has the rest." >&2
    exit $code
fi
cat time_Result/test_perform_static.txt acc.log
