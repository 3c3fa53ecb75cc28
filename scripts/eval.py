"""Evaluates a checkpoint or an exported file, as `ssd_nb eval` does: see --help."""
from ssd_nb.plumbing.commands import eval_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(eval_command)
