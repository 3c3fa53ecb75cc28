#!/usr/bin/env bash
# Trains on one device, with the arguments of the ModelZoo's scripts.
#   bash scripts/run_standalone_train.sh DEVICE_ID EPOCH_SIZE LR DATASET [PRE_TRAINED PRE_TRAINED_EPOCH_SIZE] [--option=value ...]
# Four or six arguments; options of train.py may follow, such as --using_model=ssd300 --coco_root=DATA.
# RUN_PLATFORM=Ascend (or GPU, CPU) is the device's kind. The results are in LOG: log.txt and the checkpoints.
set -uo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/published_arguments.sh"
case ${1:-} in -h|--help) usage; exit 0 ;; esac
published_options device_id epoch_size lr dataset pre_trained pre_trained_epoch_size -- "$@"
# shellcheck source=/dev/null
source "$HERE/find_python.sh"
mkdir -p LOG || exit 2
# The training takes the place of this script, so that signals reach it; the log is written until it has ended.
exec "$PYTHON" "$HERE/train.py" --run_platform="${RUN_PLATFORM:-Ascend}" --output_dir=LOG "${OPTIONS[@]}" \
    > >(trap '' HUP INT TERM; exec tee -a LOG/log.txt) 2>&1
