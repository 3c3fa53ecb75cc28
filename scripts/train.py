"""Trains a model, as `ssd_nb train` does: see --help.

The defaults are those of the model (--using_model) on its device (--run_platform).
"""
from ssd_nb.plumbing.training_commands import train_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(train_command)
