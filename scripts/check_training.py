"""Looks for what makes a training fail, as `ssd_nb check` does: see --help.

It takes the options of scripts/train.py, and ends with a line `verdict:`.
"""
from ssd_nb.plumbing.training_commands import check_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(check_command)
