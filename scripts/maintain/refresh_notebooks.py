"""Runs notebooks from top to bottom and saves what they show: exports, executes, cleans, shrinks pictures.

    python scripts/maintain/refresh_notebooks.py             # all notebooks
    python scripts/maintain/refresh_notebooks.py 00 loader   # those whose names begin so
    python scripts/maintain/refresh_notebooks.py --slow 05   # also cells marked `#| slow`
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

import numpy as np
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NBS = ROOT / 'nbs'
CLEAR = '\x1b[2K'  # what a widget prints to wipe its output, where there is no browser


def is_slow(cell):
    "Whether the cell runs only if asked for; nbdev_test reads the same mark"
    return cell.cell_type == 'code' and re.search(r'^\s*#\s*\|\s*slow\b', cell.source, flags=re.M) is not None


def encode(picture, kind, **options):
    "A picture as base64 text of a file"
    picture.save(buffer := io.BytesIO(), kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def dither(picture):
    "The picture in 256 colours, of which white, the background, stays white"
    palette = picture.quantize(255)  # Pillow dithers with a palette that exists, and only near its colours
    few = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert('RGB')
    white = (np.array(picture) == 255).all(-1)
    few.paste((255, 255, 255), mask=Image.fromarray(white))
    return few


PHOTOGRAPH = 8192 # colours; a chart with smooth edges has a few thousand at most


def shrink_picture(data):
    "Mime type and text: a photograph as JPEG, what has few colours as PNG of 256, dithered if of more"
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB')
    if picture.getcolors(PHOTOGRAPH) is None:
        return 'image/jpeg', encode(picture, 'JPEG', quality=75, optimize=True, subsampling=0)
    if not picture.getcolors(256): picture = dither(picture)
    few = picture.quantize(256)  # exact, since there are no more colours
    return 'image/png', encode(few, 'PNG', optimize=True)


def tidy(cell):
    "Keeps of a widget, or of a picture that is drawn again and again, what is there last; shrinks pictures"
    cleared = [i for i, output in enumerate(cell.outputs) if CLEAR in ''.join(output.get('text', ''))]
    if cleared:
        cell.outputs = [output for output in cell.outputs[cleared[-1]:]
                        if 'image/png' in output.get('data', {})]
    for output in cell.outputs:
        if png := output.get('data', {}).pop('image/png', None):
            kind, text = shrink_picture(''.join(png))
            output['data'][kind] = text


def save_picture(cell):
    "Writes what the cell drew into nbs/pictures, where a line `#| picture NAME` asks for it"
    name = re.search(r'^\s*#\s*\|\s*picture\s+(\S+)$', cell.source, flags=re.M)
    if not name: return
    (text,) = [text for output in cell.outputs for kind, text in output.get('data', {}).items()
               if kind.startswith('image/')]
    (NBS / 'pictures' / name[1]).write_bytes(base64.b64decode(text))


def run_notebook(path, slow):
    "Runs the notebook in this process; a `slow` cell keeps what it showed when it last ran, unless `slow`"
    os.chdir(path.parent)
    notebook = read_nb(path)
    runs = [cell for cell in notebook.cells if cell.cell_type == 'code' and (slow or not is_slow(cell))]
    for cell in runs: cell.outputs = []  # the shell leaves alone what a cell without output showed before
    shell = CaptureShell(path=path.parent, mpl_format='png')
    shell.run_all(notebook, exc_stop=True, preproc=lambda cell: is_slow(cell) and not slow)
    for cell in runs:
        tidy(cell)
        save_picture(cell)
    write_nb(notebook, path)


def refresh(path, slow):
    "Runs one notebook in a process of its own, then cleans it"
    start = time.time()
    flags = ['--slow'] if slow else []
    subprocess.run([sys.executable, __file__, '--here', str(path), *flags], check=True)
    subprocess.run([Path(sys.executable).with_name('nbdev_clean'), '--fname', path], check=True, cwd=ROOT)
    print(f'{path.name}: {time.time() - start:.0f} s, {path.stat().st_size / 1024:.0f} KB', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='how the names of the notebooks begin; all if none is given')
    parser.add_argument('--slow', action='store_true', help='run cells marked `#| slow` too')
    parser.add_argument('--here', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here: return run_notebook(Path(args.here), args.slow)
    found = sorted(p for p in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
    paths = [p for p in found if not args.names or p.name.startswith(tuple(args.names))]
    if not paths: sys.exit(f'error: no notebook in {NBS} begins with {" or ".join(args.names)}.')
    subprocess.run([Path(sys.executable).with_name('nbdev_export')], check=True, cwd=ROOT)
    for path in paths: refresh(path, args.slow)


if __name__ == '__main__':
    main()
