"""Reads a detector that others trained into a checkpoint, as `ssd_nb import` does: see --help."""
from ssd_nb.plumbing.commands import import_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(import_command)
