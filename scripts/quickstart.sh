#!/usr/bin/env bash
# From a fresh clone to detections: installs ssd_nb into .venv, trains ssd_tiny on drawn images, evaluates it on held-out ones,
# exports it to MindIR, evaluates that, and draws what it found. All it makes is in runs/quickstart; a second run reuses it.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h|--help) echo "usage: bash scripts/quickstart.sh    (no options; delete runs/quickstart to start over)"; exit 0 ;;
    *) echo "error: quickstart.sh takes no options, but got '$1'." >&2; exit 2 ;;
esac

source "$(dirname "${BASH_SOURCE[0]}")/make_venv.sh"
make_venv || exit 1
cd "$ROOT"

RUN=runs/quickstart
TRAIN_IMAGES=2000
CHECKPOINT=$RUN/ssd_tiny.ckpt
MINDIR=$RUN/ssd_tiny.mindir
HELD_OUT=(--dataset=coco --coco_root=data_samples "--mindrecord_dir=$RUN/mindrecord")
SECONDS=0
mkdir -p "$RUN"

step() { printf '\n== %s\n' "$*"; }
run() { printf '$ python'; printf ' %s' "$@"; printf '\n'; "$PYTHON" "$@"; }
# what runs beside the next step is shown when its own turn comes
later() { local file=$1; shift; run "$@" > "$file" 2>&1 & }
await() { local code=0; wait "$1" || code=$?; cat "$2"; return "$code"; }
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
map_of() { sed -n 's/^mAP: //p' "$1"; }

step "1 of 6: draw $TRAIN_IMAGES training images, of the kind that data_samples holds"
if [ -f "$RUN/samples/annotations/instances_eval.json" ]; then echo "already in $RUN/samples"
else run scripts/make_samples.py --output_dir=$RUN/samples --train=$TRAIN_IMAGES --evaluation=1 --processes=2; fi

step "2 of 6: train ssd_tiny on them"
if [ -f "$CHECKPOINT" ]; then echo "already trained: $CHECKPOINT"
else
    run scripts/train.py --config=recipes/quickstart.yaml --coco_root=$RUN/samples --mindrecord_dir=$RUN/mindrecord \
        --output_dir=$RUN/training --resume
    # shellcheck disable=SC2012  # the names are ours: no blanks, no newlines
    last=$(ls -t "$RUN"/training/ssd-*.ckpt | head -n 1)
    cp "$last" "$CHECKPOINT.part" && mv "$CHECKPOINT.part" "$CHECKPOINT"
    rm -f "$MINDIR"
fi

exporting=''
if ! { [ -f "$MINDIR" ] && [ -f "$MINDIR.json" ]; }; then
    later "$RUN/export.txt" scripts/export.py --ckpt_file $CHECKPOINT --file_name $RUN/ssd_tiny --file_format MINDIR
    exporting=$!
fi

step "3 of 6: evaluate the checkpoint on the 80 held-out images of data_samples"
run scripts/eval.py --run_platform=CPU "${HELD_OUT[@]}" --checkpoint_path=$CHECKPOINT --output_dir=$RUN/eval_checkpoint --report | tee "$RUN/eval_checkpoint.txt"

step "4 of 6: export network and decoder to MindIR"
if [ -z "$exporting" ]; then echo "already exported: $MINDIR"; else await "$exporting" "$RUN/export.txt"; fi

later "$RUN/predict.txt" scripts/predict.py --run_platform=CPU --checkpoint_path=$CHECKPOINT --image_path=data_samples/eval --output_dir=$RUN/pictures
drawing=$!

step "5 of 6: evaluate the MindIR file on the same images"
run scripts/eval.py --run_platform=CPU "${HELD_OUT[@]}" --checkpoint_path=$MINDIR --output_dir=$RUN/eval_mindir | tee "$RUN/eval_mindir.txt"

step "6 of 6: draw detections"
await "$drawing" "$RUN/predict.txt"

checkpoint_map=$(map_of "$RUN/eval_checkpoint.txt")
mindir_map=$(map_of "$RUN/eval_mindir.txt")
if [ "$checkpoint_map" != "$mindir_map" ]; then
    echo "error: the MindIR file has mAP $mindir_map, the checkpoint $checkpoint_map; please report this." >&2
    exit 1
fi
cat <<END

Done in $((SECONDS / 60)) min $((SECONDS % 60)) s. mAP $checkpoint_map on held-out images, from the checkpoint and from the MindIR file.
These images are drawn by this project: five shaded shapes before busy backgrounds. The number says that everything
works together; it says nothing about photographs.

  detections         $RUN/pictures/overview.png   (and a picture for each image beside it)
  what and why       $RUN/eval_checkpoint/report.html   (curves, mistakes, best and worst images)
  training curves    $RUN/training/metrics.png
  checkpoint         $CHECKPOINT
  MindIR             $MINDIR

Next: .venv/bin/jupyter lab nbs/00_boxes.ipynb
END
