"""Every notebook runs from top to bottom; with --slow, also its cells marked `#| slow`."""
import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT

NBS = ROOT / 'nbs'
LONG = '05_train', '06_eval', '02_backbones', '07_export_310', '03_ssd_heads', 'commands' # begin with these
SHORT = ( # these share two processes: starting one takes longer than most of them
    ('annotations', 'check_records', 'classes', 'coco', 'coco_entries', 'coco_layouts', 'content', 'copies',
     'files', 'find_images', 'fingerprint', 'images', 'txt', 'voc', 'voc_files', 'yolo', 'yolo_files'),
    ('bookkeeping', 'cocoeval', 'drawing', 'fonts', 'formats', 'media', 'mistakes', 'nms', 'options',
     'overlap',
     'paint', 'photographs', 'pictures', 'pretend', 'report', 'samples', 'verdict'))


def find_notebooks():
    "The notebooks in the order in which they run: lists of those that share a process"
    paths = sorted(path for path in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in path.parts)
    shared = [[path for path in paths if path.parent != NBS and path.stem in some] for some in SHORT]
    alone = [path for path in paths if not any(path in some for some in shared)]
    alone.sort(key=lambda path: LONG.index(path.stem) if path.stem in LONG else len(LONG))
    return [[path] for path in alone] + shared


def test_all_notebooks_of_the_line_are_there():
    assert [p.stem for p in sorted(NBS.glob('*.ipynb'))] == [
        '00_boxes', '01_data', '02_backbones', '03_ssd_heads', '04_loss', '05_train', '06_eval',
                                                             '07_export_310',
        'how_to_own_data', 'how_to_published_detectors', 'index']


@pytest.mark.parametrize('paths', find_notebooks(), ids=lambda paths: '-'.join(path.stem for path in paths))
def test_notebook(paths, run, request):
    "nbdev_test takes one notebook, or a folder and the beginnings of names"
    where = ['--path', paths[0]]
    if len(paths) > 1:
        where = ['--path', paths[0].parent, '--file_re', f'^({"|".join(p.stem for p in paths)})[.]']
    flags = ['--flags', 'slow'] if request.config.getoption('--slow') else []
    env = {**os.environ, 'GLOG_v': '4', 'MPLBACKEND': 'Agg'}
    env.pop('ONEDNN_MAX_CPU_ISA', None) # a notebook says what the library sets
    done = run(Path(sys.executable).with_name('nbdev_test'), *where, '--n_workers', '0', '--do_print', *flags,
               env=env, timeout=1800)
    assert done.code == 0, done.out[-3000:] + done.err[-6000:]
    assert not [path.stem for path in paths if path.name not in done.out], 'not all of them ran'
