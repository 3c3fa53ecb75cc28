"""Converts, checks and reports a data set, as `ssd_nb data` does: see --help."""
from ssd_nb.plumbing.training_commands import data_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(data_command)
