#!/usr/bin/env bash
# Trains on several GPUs of one host, with the arguments of the ModelZoo's script of this name.
#   bash scripts/run_distribute_train_gpu.sh DEVICE_NUM EPOCH_SIZE LR DATASET [PRE_TRAINED PRE_TRAINED_EPOCH_SIZE] [--option=value ...]
# Four or six arguments; options of train.py may follow, such as --using_model=ssd300 --coco_root=DATA.
# The results are in LOG: log.txt of the first process, log_1.txt and so on of the others, and the checkpoints.
set -uo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/published_arguments.sh"
case ${1:-} in -h|--help) usage; exit 0 ;; esac
published_options - epoch_size lr dataset pre_trained pre_trained_epoch_size -- "$@"
RUN_PLATFORM=${RUN_PLATFORM:-GPU} exec bash "$HERE/run_distribute.sh" "${WORDS[0]}" "${OPTIONS[@]}"
