"""Trains with the options of train.py, and lets a test look inside.

WEIGHTS=FOLDER keeps the weights of each process after each epoch, FROZEN_NORM=1 keeps batch norm from
learning, EVALUATION_TAKES=40 lets an evaluation last so many seconds longer.
"""
import os
import time
from pathlib import Path

import numpy as np
from mindspore import nn

import ssd_nb.eval
import ssd_nb.train
from ssd_nb.plumbing.training_commands import train_command
from ssd_nb.plumbing.options import run_command


def freeze_norm(step, network, config):
    step.set_train()
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.BatchNorm2d): cell.set_train(False)


def slower(make_evaluate):
    def make(*args):
        evaluate = make_evaluate(*args)
        def slow(network):
            time.sleep(float(os.environ['EVALUATION_TAKES']))
            return evaluate(network)
        return slow
    return make


def observe(finish_epoch):
    def finish(trainer):
        report = finish_epoch(trainer)
        path = Path(os.environ['WEIGHTS']) / f'{report.epoch}_{trainer.team.rank}.npz'
        np.savez(path, **{p.name: p.asnumpy() for p in trainer.network.trainable_params()})
        return report
    return finish


if __name__ == '__main__': # the processes that prepare images import this file once more
    if os.environ.get('FROZEN_NORM'): ssd_nb.train.training_mode = freeze_norm
    if os.environ.get('EVALUATION_TAKES'): ssd_nb.eval.make_evaluate = slower(ssd_nb.eval.make_evaluate)
    if os.environ.get('WEIGHTS'): ssd_nb.train.finish_epoch = observe(ssd_nb.train.finish_epoch)
    run_command(train_command)
