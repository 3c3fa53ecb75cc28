"""Writes a trained network with its decoder into one file, as `ssd_nb export` does: see --help."""
from ssd_nb.plumbing.commands import export_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(export_command)
