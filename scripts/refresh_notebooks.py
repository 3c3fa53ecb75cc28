"""Exports the notebooks to ssd_nb/, runs them from top to bottom, and saves clean outputs.

    python scripts/refresh_notebooks.py              # all of them
    python scripts/refresh_notebooks.py 00 04        # those whose names begin so
    python scripts/refresh_notebooks.py --slow 05    # also cells marked `#| slow`
"""
import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NBS = Path(__file__).resolve().parent.parent / 'nbs'
WIDGET = 'application/vnd.jupyter.widget-view+json'


def is_slow(cell): return re.search(r'^\s*#\s*\|\s*slow\b', cell.source, flags=re.M) is not None


def first_picture(widget_id, states):
    "The PNG that the widget `widget_id`, or a widget inside it, shows first; None if there is none"
    state = states.get(widget_id, {}).get('state', {})
    for output in state.get('outputs', []):
        if 'image/png' in output.get('data', {}): return output['data']['image/png']
    children = (child.removeprefix('IPY_MODEL_') for child in state.get('children', []))
    return next(filter(None, (first_picture(child, states) for child in children)), None)


def still_widgets(nb):
    "Replaces each saved widget by the picture it shows first: a code host can draw that, and no widget"
    states = nb.metadata.pop('widgets', {}).get('application/vnd.jupyter.widget-state+json', {}).get('state', {})
    for cell in nb.cells:
        for output in cell.get('outputs', []):
            if WIDGET not in output.get('data', {}): continue
            png = first_picture(output['data'][WIDGET]['model_id'], states)
            output['data'] = {'image/png': png} if png else {'text/plain': 'a widget: run this cell to use it'}


def run_notebook(path, slow):
    "Runs the notebook at `path`, keeping what `slow` cells showed when they last ran unless `slow`"
    nb = nbformat.read(path, as_version=4)
    kept = {} if slow else {i: c for i, c in enumerate(nb.cells) if c.cell_type == 'code' and is_slow(c)}
    for i, cell in kept.items():
        nb.cells[i] = nbformat.v4.new_code_cell('', id=cell.id)
    NotebookClient(nb, timeout=3600, resources={'metadata': {'path': str(NBS)}}).execute()
    for i, cell in kept.items(): nb.cells[i] = cell
    for cell in nb.cells: cell.metadata.pop('execution', None)
    still_widgets(nb)
    nbformat.write(nb, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='how the names of the notebooks begin; all if none is given')
    parser.add_argument('--slow', action='store_true', help='run cells marked `#| slow` too')
    args = parser.parse_args()
    paths = [p for p in sorted(NBS.glob('*.ipynb')) if not args.names or p.name.startswith(tuple(args.names))]
    if not paths: sys.exit(f'no notebook in {NBS} begins with {" or ".join(args.names)}')
    nbdev = Path(sys.executable).parent
    subprocess.run([nbdev / 'nbdev_export'], check=True, cwd=NBS.parent)
    for path in paths:
        start = time.time()
        run_notebook(path, args.slow)
        subprocess.run([nbdev / 'nbdev_clean', '--fname', path], check=True, cwd=NBS.parent)
        print(f'{path.name}: {time.time() - start:.0f} s, {path.stat().st_size / 1024:.0f} KB', flush=True)


if __name__ == '__main__':
    main()
