#!/usr/bin/env bash
# Trains on several Ascend devices of one host, with the arguments of the ModelZoo's script of this name.
#   bash scripts/run_distribute_train.sh DEVICE_NUM EPOCH_SIZE LR DATASET RANK_TABLE_FILE [PRE_TRAINED PRE_TRAINED_EPOCH_SIZE] [--option=value ...]
# Five or seven arguments; options of train.py may follow, such as --using_model=ssd300 --coco_root=DATA.
# RANK_TABLE_FILE: scripts/rank_table.py writes one. The results are in LOG0, LOG1, ...: a log.txt in each, the checkpoints in LOG0.
set -uo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/published_arguments.sh"
case ${1:-} in -h|--help) usage; exit 0 ;; esac
published_options - epoch_size lr dataset - pre_trained pre_trained_epoch_size -- "$@"
RUN_PLATFORM=${RUN_PLATFORM:-Ascend} RANK_TABLE_FILE=${WORDS[4]} LOG_DIR=LOG% exec bash "$HERE/run_distribute.sh" "${WORDS[0]}" "${OPTIONS[@]}"
