"""Trains a recipe with several seeds, as `ssd_nb recipe` does: see --help."""
from ssd_nb.plumbing.training_commands import recipe_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(recipe_command)
