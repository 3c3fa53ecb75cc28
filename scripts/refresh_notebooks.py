"""Exports the notebooks to ssd_nb/, runs them from top to bottom, and saves clean outputs.

    python scripts/refresh_notebooks.py              # all of them
    python scripts/refresh_notebooks.py 00 04        # those whose names begin so
    python scripts/refresh_notebooks.py --slow 05    # also cells marked `#| slow`
"""
import argparse
import base64
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from PIL import Image

NBS = Path(__file__).resolve().parent.parent / 'nbs'
CLEAR = '\x1b[2K'  # what a widget prints to wipe its output, where there is no browser


def is_slow(cell):
    "Whether the cell runs only if asked for; nbdev_test reads the same mark"
    return cell.cell_type == 'code' and re.search(r'^\s*#\s*\|\s*slow\b', cell.source, flags=re.M) is not None


def small_png(data):
    "A base64 PNG with 256 colours: a third of the size, and no difference that one sees"
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB').quantize(256, dither=Image.Dither.NONE)
    picture.save(buffer := io.BytesIO(), 'PNG', optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def tidy(cell):
    "Keeps of a widget, or of a picture that is drawn again and again, only what stands there last, and shrinks pictures"
    cleared = [i for i, output in enumerate(cell.outputs) if CLEAR in ''.join(output.get('text', ''))]
    if cleared: cell.outputs = [output for output in cell.outputs[cleared[-1]:] if 'image/png' in output.get('data', {})]
    for output in cell.outputs:
        if png := output.get('data', {}).get('image/png'): output['data']['image/png'] = small_png(''.join(png))


def run_notebook(path, slow):
    "Runs the notebook in this process; a `slow` cell keeps what it showed when it last ran, unless `slow`"
    os.chdir(NBS)
    notebook = read_nb(path)
    runs = [cell for cell in notebook.cells if cell.cell_type == 'code' and (slow or not is_slow(cell))]
    for cell in runs: cell.outputs = []  # the shell leaves alone what a cell without output showed before
    CaptureShell(path=NBS, mpl_format='png').run_all(notebook, exc_stop=True, preproc=lambda cell: is_slow(cell) and not slow)
    for cell in runs: tidy(cell)
    write_nb(notebook, path)


def refresh(path, slow):
    "Runs one notebook in a process of its own, then cleans it"
    start = time.time()
    subprocess.run([sys.executable, __file__, '--here', path.name, *(['--slow'] if slow else [])], check=True)
    subprocess.run([Path(sys.executable).with_name('nbdev_clean'), '--fname', path], check=True, cwd=NBS.parent)
    print(f'{path.name}: {time.time() - start:.0f} s, {path.stat().st_size / 1024:.0f} KB', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='how the names of the notebooks begin; all if none is given')
    parser.add_argument('--slow', action='store_true', help='run cells marked `#| slow` too')
    parser.add_argument('--here', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    paths = [p for p in sorted(NBS.glob('*.ipynb')) if not args.names or p.name.startswith(tuple(args.names))]
    if not paths: sys.exit(f'error: no notebook in {NBS} begins with {" or ".join(args.names)}.')
    if args.here: return run_notebook(paths[0], args.slow)
    subprocess.run([Path(sys.executable).with_name('nbdev_export')], check=True, cwd=NBS.parent)
    for path in paths: refresh(path, args.slow)


if __name__ == '__main__':
    main()
