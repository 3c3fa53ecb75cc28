"""Measures what each lever of a training recipe is worth on a small set.

    python scripts/maintain/ablate.py RECIPE.yaml --output_dir=runs/ablation [--rows=0,1,2] [--lr=0.1 ...]

trains a recipe twelve times. Each of the eleven levers is on in six of the trainings and off in the other
six, and any two of them are on together in three (Plackett and Burman, "The design of optimum multifactorial
experiments", 1946), so the mean of six minus the mean of six says what a lever is worth among the others.
The seeds 1, 2 and 3 come four times each. Trainings that are done are not run again, and --rows takes some of
the twelve, so that several machines can share them. The results go to ablation.json in --output_dir; other
options are those of ssd_nb recipe.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

from ssd_nb.plumbing.files import write_text

LEVERS = dict( # name -> options; fit_boxes: those that --fit_boxes writes for the set
    fit_boxes='', turns='--turns=True', crop_small='--crop_rule=small', mosaic='--mosaic=0.5',
    adamw='--optimizer=adamw --lr=0.001 --lr_init=0.0001 --weight_decay=0.05',
    label_smoothing='--label_smoothing=0.1', class_balance='--class_balance=0.5',
    schedule_flat='--schedule=flat', multi_scale='--multi_scale=0.25', biases_free='--decay_biases=False',
    sampling='--sampling=balanced')
FIRST_ROW = '++-+++---+-' # of the twelve; the next ten are this one, turned, and the last has no lever


def list_rows():
    "Names of the levers that are on, for each of the twelve trainings"
    turned = [FIRST_ROW[-i:] + FIRST_ROW[:-i] for i in range(11)]
    return [[name for name, sign in zip(LEVERS, row) if sign == '+'] for row in (*turned, '-' * 11)]


def run(*words):
    "Runs a command of ssd_nb, which prints itself"
    main = 'from ssd_nb.plumbing.commands import main; main()'
    subprocess.run([sys.executable, '-c', main, *words], check=True)


def find_fit(recipe, folder, options):
    "The option with default boxes that suit the training objects; none where those of the model do"
    records = folder / 'records/train'
    if not (records / 'fitted_boxes.png').exists():
        run('train', f'--config={recipe}', *options, '--only_create_dataset', '--fit_boxes')
    fit = records / 'fitted_boxes.yaml'
    return [f'--config={fit}'] if fit.exists() else []


def train_row(row, on, recipe, folder, options):
    "Trains and evaluates one of the twelve"
    seed, place = 1 + row % 3, folder / f'row_{row}'
    levers = [word for name in on for word in LEVERS[name].split()]
    if 'fit_boxes' in on: levers += find_fit(recipe, folder, options)
    run('recipe', recipe, '--seeds=1', f'--seed={seed}', *options, *levers, f'--output_dir={place}')
    found = json.loads((place / f'seed_{seed}/seed.json').read_text())
    kept = {name: found[name] for name in ('mAP', 'AP50', 'AP75', 'classes', 'machine')}
    write_text(place / 'row.json', json.dumps(dict(row=row, on=on, seed=seed) | kept, indent=1))


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('recipe')
    parser.add_argument('--output_dir', required=True, type=Path)
    parser.add_argument('--rows', default=','.join(map(str, range(12))))
    given, options = parser.parse_known_args(words)
    folder, command = given.output_dir, ' '.join(['ablate.py', given.recipe, *options])
    options.append(f'--mindrecord_dir={folder}/records')
    for row in map(int, given.rows.split(',')):
        train_row(row, list_rows()[row], given.recipe, folder, options)
    results = [json.loads(path.read_text()) for path in folder.glob('row_*/row.json')]
    whole = dict(command=command, levers=LEVERS, rows=sorted(results, key=lambda result: result['row']))
    write_text(folder / 'ablation.json', json.dumps(whole, indent=1))


if __name__ == '__main__': main(sys.argv[1:])
