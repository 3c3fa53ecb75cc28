#!/usr/bin/env bash
# usage: bash scripts/docker_start.sh IMAGE DATA_DIR MODEL_DIR
# Starts a container of an image that the Dockerfile made, with the accelerators of this host. Inside you are
# who you are outside; root is the image's own user.
#   IMAGE      such as ssd_nb:latest
#   DATA_DIR   folder of data sets; the same path inside, read only
#   MODEL_DIR  folder for checkpoints and what is exported; the same path inside
#   SHM_SIZE   memory that processes share, such as 8g (2g); SHM_SIZE=host: all that the host has, and its other processes' as well
set -euo pipefail

case ${1:-} in
    -h|--help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
fail() { echo "error: $*" >&2; exit 2; }
[ $# -eq 3 ] || fail "docker_start.sh takes IMAGE, DATA_DIR and MODEL_DIR, but got $# words: --help explains them."
[[ $1 =~ ^[A-Za-z0-9] ]] || fail "IMAGE=$(printf %q "$1") is not the name of an image, which begins with a letter or a digit."
[ -d "$2" ] || fail "there is no folder DATA_DIR=$(printf %q "$2")."
[ -d "$3" ] || fail "there is no folder MODEL_DIR=$(printf %q "$3")."
command -v docker > /dev/null || fail "there is no docker on the PATH: install Docker, or run the scripts without a container."

DATA_DIR=$(CDPATH="" cd -- "$2" && pwd)
MODEL_DIR=$(CDPATH="" cd -- "$3" && pwd)
case $DATA_DIR$MODEL_DIR in
    *:*) fail "docker divides folders at a colon, so DATA_DIR and MODEL_DIR cannot have one: rename the folder, or give a link to it." ;;
esac
DEVICES=${DEVICES:-/dev} # where the devices are; the tests have their own
DRIVER=${DRIVER:-/usr/local/Ascend/driver}
options=(-it --rm --security-opt=no-new-privileges --volume "$DATA_DIR:$DATA_DIR:ro" --volume "$MODEL_DIR:$MODEL_DIR")
case ${SHM_SIZE:=2g} in
    host) options+=(--ipc=host) ;;
    *) options+=("--shm-size=$SHM_SIZE") ;;
esac
USER_ID=${USER_ID:-$(id -u)}
if [ "$USER_ID" != 0 ]; then options+=(--user "$USER_ID:$(id -g)" --env HOME=/tmp); fi
for device in "$DEVICES"/davinci[0-9]* "$DEVICES"/davinci_manager "$DEVICES"/devmm_svm "$DEVICES"/hisi_hdc; do
    if [ -e "$device" ]; then options+=(--device "$device" --group-add "$(stat -c %g -- "$device")"); fi
done
if [ -d "$DRIVER" ]; then options+=(--volume "$DRIVER:$DRIVER:ro"); fi
if command -v nvidia-smi > /dev/null; then options+=(--gpus all); fi
exec docker run "${options[@]}" "$1" bash
