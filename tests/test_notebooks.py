"""Every notebook runs from top to bottom; with --slow, also its cells marked `#| slow`."""
import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / 'nbs').glob('*.ipynb'))


def test_all_notebooks_are_there():
    assert [p.stem for p in NOTEBOOKS] == ['00_boxes', '01_data', '02_backbones', '03_ssd_heads', '04_loss',
                                           '05_train', '06_eval',
                                           '07_export_310', 'how_to_own_data', 'index']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook(path, run, request):
    flags = ['--flags', 'slow'] if request.config.getoption('--slow') else []
    done = run(Path(sys.executable).with_name('nbdev_test'), '--path', path, '--n_workers', '0', '--do_print',
               *flags,
               env={**os.environ, 'GLOG_v': '4', 'MPLBACKEND': 'Agg'}, timeout=1800)
    assert done.code == 0, done.out[-3000:] + done.err[-6000:]
