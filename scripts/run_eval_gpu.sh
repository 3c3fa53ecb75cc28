#!/usr/bin/env bash
# run_eval.sh on a GPU: bash scripts/run_eval_gpu.sh [DATASET] [CHECKPOINT_PATH] [DEVICE_ID] [OPTIONS of eval.py]
RUN_NAME=run_eval_gpu.sh RUN_PLATFORM=${RUN_PLATFORM:-GPU} exec bash "$(dirname "${BASH_SOURCE[0]}")/run_eval.sh" "$@"
