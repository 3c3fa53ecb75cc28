#!/usr/bin/env bash
# usage: bash scripts/docker_start.sh IMAGE DATA_DIR MODEL_DIR
# Starts a container of an image that the Dockerfile made, with the accelerators of this host.
#   IMAGE      such as ssd_nb:latest
#   DATA_DIR   folder of data sets; the same path inside, read only
#   MODEL_DIR  folder for checkpoints and what is exported; the same path inside
set -euo pipefail

case ${1:-} in
    -h|--help) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
fail() { echo "error: $*" >&2; exit 2; }
[ $# -eq 3 ] || fail "docker_start.sh takes IMAGE, DATA_DIR and MODEL_DIR, but got $# words: --help explains them."
[ -d "$2" ] || fail "there is no folder DATA_DIR=$2."
[ -d "$3" ] || fail "there is no folder MODEL_DIR=$3."
command -v docker > /dev/null || fail "there is no docker on the PATH: install Docker, or run the scripts without a container."

DATA_DIR=$(cd "$2" && pwd)
MODEL_DIR=$(cd "$3" && pwd)
DEVICES=${DEVICES:-/dev} # where the devices are; the tests have their own
DRIVER=${DRIVER:-/usr/local/Ascend/driver}
options=(-it --rm --ipc=host --volume "$DATA_DIR:$DATA_DIR:ro" --volume "$MODEL_DIR:$MODEL_DIR")
for device in "$DEVICES"/davinci[0-9]* "$DEVICES"/davinci_manager "$DEVICES"/devmm_svm "$DEVICES"/hisi_hdc; do
    if [ -e "$device" ]; then options+=(--device "$device"); fi
done
if [ -d "$DRIVER" ]; then options+=(--volume "$DRIVER:$DRIVER:ro"); fi
if command -v nvidia-smi > /dev/null; then options+=(--gpus all); fi
exec docker run "${options[@]}" "$1" bash
