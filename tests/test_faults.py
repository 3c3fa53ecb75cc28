"""Thousands of mutated inputs for each reader: correct loading or one sentence, never a crash, hang or 2 GB."""
import json
import os
import time
from dataclasses import asdict

import pytest
import yaml
from conftest import ROOT
from mutate import Mutant, mutate_bytes, mutate_text, mutate_tree, try_mutants

from ssd_nb.plumbing.options import UserError


def read_what_is_said(folder):
    "A reader that does what its file says"
    said = (folder / 'said').read_text()
    if said == 'hangs': time.sleep(60)
    if said == 'dies': os.abort()
    if said == 'leaves': os._exit(0)
    if said == 'is greedy': bytearray(3 * 1024 ** 3)
    if said == 'raises': 1 / 0
    if said == 'talks': raise UserError('two\nlines')
    if said == 'tells': raise UserError('one sentence.')


def test_trying(tmp_path, capsys):
    "Each way to fail is noticed, and the others go on"
    (tmp_path / 'good').mkdir()
    (tmp_path / 'good/said').write_text('loads')
    said = 'loads', 'hangs', 'dies', 'is greedy', 'loads', 'raises', 'leaves', 'talks', 'tells'
    mutants = [Mutant(word, {'said': word.encode()}) for word in said]
    tried = try_mutants('toy', read_what_is_said, mutants, base=tmp_path / 'good', seconds=3)
    assert [label for label, _ in tried.failed] == ['hangs', 'dies', 'is greedy', 'raises', 'leaves', 'talks']
    assert (tried.loaded, tried.told) == (2, 1)
    assert 'toy: 9 tried, 3 survived (2 loaded, 1 answered in a sentence), 6 failed' in capsys.readouterr().out


def check(tried, least=300):
    "All mutants survive, and the readers tell something of them apart"
    assert not tried.failed, tried.failed[0]
    assert tried.loaded + tried.told >= least and tried.told


# ---- --config

def write_yaml(tree): return yaml.safe_dump(tree, allow_unicode=True).encode('utf-8', 'surrogatepass')


def read_config(folder):
    from ssd_nb.plumbing.training_commands import _read_config
    _read_config(['--config', str(folder / 'options.yaml')])


@pytest.mark.slow
def test_config(tmp_path):
    from ssd_nb.train import preset
    tree = {}
    for part in asdict(preset('ssd_tiny', 'CPU')).values(): tree |= part
    tree = json.loads(json.dumps(tree)) # lists in place of tuples
    (tmp_path / 'options.yaml').write_bytes(good := write_yaml(tree))
    found = [(label, write_yaml(new)) for label, new in mutate_tree(tree, 300, seed=1)]
    found += [*mutate_text(good.decode(), 150, seed=1), *mutate_bytes(good, 50, seed=1)]
    mutants = [Mutant(label, {'options.yaml': content}) for label, content in found]
    check(try_mutants('--config', read_config, mutants, base=tmp_path))
