#!/usr/bin/env bash
# usage: bash scripts/run_infer_onnx.sh [ONNX_PATH] [DATA_PATH] [--option=value ...]
# Runs an exported detector over a data set with ONNX Runtime, on a CUDA device if it finds one, and measures it.
#   ONNX_PATH    a .onnx file that scripts/export.py wrote: with --whole, or else with its json beside it
#   DATA_PATH    the folder of a COCO, VOC or YOLO data set, or its folder of evaluation images
#   options      of scripts/infer.py, such as --trust=ONNX_PATH
# Writes into the current folder what run_infer_310.sh writes. PYTHON says which Python to use, if not the one on the PATH or in .venv.
set -uo pipefail

case ${1:-} in
    -h|--help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=/dev/null
source "$HERE/published_arguments.sh"
split_arguments "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
if [ $# -ne 2 ]; then
    echo "error: run_infer_onnx.sh takes ONNX_PATH and DATA_PATH, but got $# words: --help explains them." >&2
    exit 2
fi
BACKEND=onnx exec bash "$HERE/run_infer_310.sh" "$1" "$2" CPU ${OPTIONS[@]+"${OPTIONS[@]}"}
