"""Measures what each lever of the training recipe is worth on a small set, for nbs/plumbing/small_sets.

    python scripts/maintain/ablate.py NAME RECIPE [--option=value ...] [--rows=0,1,2]

trains RECIPE twelve times. Each of the eleven levers is on in six of the twelve trainings and off in the
other six, and any two of them are on together in three (Plackett and Burman, "The design of optimum
multifactorial experiments", 1946), so the mean of six minus the mean of six says what a lever is worth among
the others. The seeds 1, 2 and 3 come four times each. Trainings that are done are not run again, and --rows
takes some of the twelve, so that several machines can share them. The results go to runs/ablation/NAME.json;
`--gather FILE ...` adds such files to nbs/recorded/ablation.json.
"""
import json
import subprocess
import sys
from pathlib import Path

from ssd_nb.plumbing.files import write_text

LEVERS = dict( # name -> options, {fit} stands for the default boxes that --fit_boxes found
    fit_boxes='--config={fit}', turns='--turns=True', crop_small='--crop_rule=small', mosaic='--mosaic=0.5',
    adamw='--optimizer=adamw --lr=0.001 --lr_init=0.0001 --weight_decay=0.05',
    label_smoothing='--label_smoothing=0.1', class_balance='--class_balance=0.5',
    schedule_flat='--schedule=flat', multi_scale='--multi_scale=0.25', biases_free='--decay_biases=False',
    sampling='--sampling=balanced')
FIRST_ROW = '++-+++---+-' # of the twelve; the next ten are this one, turned, and the last has no lever
ROOT = Path(__file__).parents[2]


def design_rows():
    "Which levers are on in each of the twelve trainings"
    names = list(LEVERS)
    turned = [FIRST_ROW[-i:] + FIRST_ROW[:-i] for i in range(11)]
    return [[name for name, sign in zip(names, row) if sign == '+'] for row in (*turned, '-' * 11)]


def run(*words):
    "Runs a command of ssd_nb, which prints itself"
    main = 'from ssd_nb.plumbing.commands import main; main()'
    subprocess.run([sys.executable, '-c', main, *words], check=True)


def find_fit(name, recipe, options):
    "The default boxes that suit the training objects, as a YAML file; '' if those of the model do"
    folder = Path('runs/ablation') / name / 'records'
    if not (folder / 'train/fitted_boxes.png').exists():
        run('train', f'--config={recipe}', *options, '--only_create_dataset', '--fit_boxes',
            f'--mindrecord_dir={folder}')
    fit = folder / 'train/fitted_boxes.yaml'
    return f'--config={fit}' if fit.exists() else ''


def train_row(i, on, name, recipe, options):
    "Trains and evaluates one of the twelve"
    folder, seed = Path('runs/ablation') / name, 1 + i % 3
    levers = [word for lever in on for word in LEVERS[lever].split()]
    fit = find_fit(name, recipe, options)
    levers = [word for word in (fit if word == '--config={fit}' else word for word in levers) if word]
    out = folder / f'row_{i}'
    run('recipe', str(recipe), '--seeds=1', f'--seed={seed}', *options, *levers, f'--output_dir={out}',
        f'--mindrecord_dir={folder}/records')
    found = json.loads((out / f'seed_{seed}/seed.json').read_text())
    result = {key: found[key] for key in ('mAP', 'AP50', 'AP75', 'classes', 'machine')}
    write_text(out / 'row.json', json.dumps(dict(row=i, on=on, seed=seed) | result, indent=1))


def main(words):
    if words[:1] == ['--gather']: return gather(words[1:])
    name, recipe, *options = words
    rows = [word.partition('=')[2] for word in options if word.startswith('--rows=')]
    chosen = [int(i) for i in rows[0].split(',')] if rows else range(12)
    options = [word for word in options if not word.startswith('--rows=')]
    design = design_rows()
    for i in chosen: train_row(i, design[i], name, recipe, options)
    done = sorted(Path(f'runs/ablation/{name}').glob('row_*/row.json'))
    results = [json.loads(path.read_text()) for path in done]
    whole = dict(name=name, command=' '.join(['ablate.py', name, recipe, *options]), levers=LEVERS,
                 rows=sorted(results, key=lambda row: row['row']))
    write_text(Path(f'runs/ablation/{name}.json'), json.dumps(whole, indent=1))


def gather(paths):
    "Puts results into the file that the notebook reads"
    target = ROOT / 'nbs/recorded/ablation.json'
    known = json.loads(target.read_text()) if target.exists() else {}
    for path in paths:
        found = json.loads(Path(path).read_text())
        known[found['name']] = found
    write_text(target, json.dumps(known, indent=1) + '\n')


if __name__ == '__main__': main(sys.argv[1:])
