"""Thousands of mutated inputs for each reader: correct loading or one sentence, never a crash, hang or 2 GB."""
import os
import time

from mutate import Mutant, try_mutants

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
