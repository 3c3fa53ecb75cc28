#!/usr/bin/env bash
# Evaluates a checkpoint on one device: what is printed goes to evalDEVICE_ID/log.txt too, beside detections.json and metrics.txt.
set -euo pipefail

NAME=${RUN_NAME:-run_eval.sh}
PLATFORM=${RUN_PLATFORM:-Ascend}

usage() {
    cat <<END
usage: bash scripts/$NAME [DATASET] [CHECKPOINT_PATH] [DEVICE_ID] [OPTIONS of eval.py]
  DATASET          coco, voc, yolo or other (a TXT file)
  CHECKPOINT_PATH  a checkpoint, or a file written by export.py
  DEVICE_ID        number of the device, from 0
  OPTIONS          such as --coco_root=FOLDER --report; a ModelZoo checkpoint needs --using_model=NAME
example: bash scripts/$NAME coco runs/my_training/ssd-40_458.ckpt 0 --report
RUN_PLATFORM=CPU before the command runs it on the CPU.
END
}

fail() { echo "error: $*" >&2; exit 2; }

case ${1:-} in -h|--help) usage; exit 0 ;; esac
if [ $# -lt 3 ]; then usage >&2; exit 2; fi
DATASET=$1 CHECKPOINT_PATH=$2 DEVICE_ID=$3
shift 3
case $DATASET in coco|voc|yolo|other) ;; *) fail "DATASET '$DATASET' is not possible: give coco, voc, yolo or other." ;; esac
[ -f "$CHECKPOINT_PATH" ] || fail "there is no file CHECKPOINT_PATH '$CHECKPOINT_PATH'."
case $DEVICE_ID in ''|*[!0-9]*) fail "DEVICE_ID '$DEVICE_ID' is not possible: give a whole number such as 0." ;; esac

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=/dev/null
source "$ROOT/scripts/find_python.sh"
FOLDER=eval$DEVICE_ID
mkdir -p "$FOLDER"
"$PYTHON" "$ROOT/scripts/eval.py" --run_platform="$PLATFORM" --device_id="$DEVICE_ID" --dataset="$DATASET" \
    --checkpoint_path="$CHECKPOINT_PATH" --output_dir="$FOLDER" "$@" | tee "$FOLDER/log.txt" # a progress bar, and what goes wrong, is not for the log
