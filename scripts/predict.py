"""Detects objects in images, a video or a camera, as `ssd_nb predict` does: see --help."""
from ssd_nb.plumbing.commands import predict_command
from ssd_nb.plumbing.options import run_command

if __name__ == '__main__':
    run_command(predict_command)
