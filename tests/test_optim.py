"""Levers of the recipe: they hold together with all else that training can do, and are off by default."""
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import ssd_nb.plumbing.device # before MindSpore: it silences harmless messages
import mindspore as ms
from ssd_nb.train import Config, TrainConfig, from_json, make_optimizer, preset, read_checkpoint, train
from ssd_nb.plumbing.checkpoint import read_saved, to_json
from ssd_nb.plumbing.model_config import ModelConfig, build_model
from ssd_nb.plumbing.options import UserError
from ssd_nb.ssd_heads import MODELS

LEVERS = dict(
    train=dict(pre_trained_lr=0.3, decay_biases=False, optimizer='adamw', lr=0.002, weight_decay=0.05,
               schedule='flat', ema_decay=0.9, clip_norm=1.0, accumulate=2),
    loss=dict(label_smoothing=0.1, class_balance=0.5))


NEW = {'pre_trained_lr', 'decay_biases', 'optimizer', 'schedule', 'label_smoothing', 'class_balance',
       'class_weights'}


def with_parts(config, **parts):
    return replace(config, **{name: replace(getattr(config, name), **given) for name, given in parts.items()})


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    "A run of two epochs of six steps on the sample images"
    folder = tmp_path_factory.mktemp('levers')
    return with_parts(preset('ssd_tiny', 'CPU'), data=dict(
        dataset='voc', voc_root=str(ROOT / 'data_samples'), mindrecord_dir=str(folder / 'mindrecord')),
        train=dict(epoch_size=2, batch_size=8, output_dir=str(folder / 'run')))


def test_published_presets_have_no_lever():
    for name in MODELS:
        config = preset(name)
        o, loss = config.train, config.loss
        assert (o.pre_trained_lr, o.decay_biases) == (1.0, True)
        assert (o.optimizer, o.schedule) == ('momentum', 'cosine')
        assert (loss.label_smoothing, loss.class_balance, loss.class_weights) == (0.0, 0.0, ())


def test_optimizer_without_levers_is_the_one_before():
    network = build_model(ModelConfig('ssd_tiny', 4), MODELS['ssd_tiny'].boxes)
    found = make_optimizer(network, np.full(9, 0.1, np.float32), pre_trained_lr=1.0, decay_biases=True)
    assert type(found) is ms.nn.Momentum and not found.is_group
    assert [p.name for p in found.parameters] == [p.name for p in network.trainable_params()]


@pytest.mark.parametrize('model', list(MODELS))
def test_only_class_heads_keep_the_rate(model):
    network = build_model(ModelConfig(model, 4), MODELS[model].boxes)
    found = make_optimizer(network, np.full(9, 0.1, np.float32), weight_decay=0.1, pre_trained_lr=0.5,
                           decay_biases=False)
    rates = [float(rate(ms.Tensor([0], ms.int32)).asnumpy().ravel()[0]) for rate in found.learning_rate]
    names = [p.name for p in network.trainable_params()]
    full = {name for name, rate in zip(names, rates) if rate > 0.09}
    heads = {p.name for layer in network.multi_box.get_class_layers() for p in layer.get_parameters()}
    assert full == heads and np.allclose(sorted(set(rates)), [0.05, 0.1])
    pulled = {p.name for p, flag in zip(found.parameters, found.decay_flags) if flag}
    assert [p.name for p in found.parameters] == names
    assert pulled == {p.name for p in network.trainable_params() if p.ndim > 1}


@pytest.mark.parametrize('options, says', [
    (dict(), '--lr=0.05 is not possible: give at most 0.01, such as 0.001, with --optimizer=adamw'),
    (dict(lr=0.001, lr_init=0.0133), '--lr_init=0.0133 is not possible: give at most --lr=0.001 with '),
    (dict(lr=0.001, momentum=0.), '--momentum=0.0 is not possible: give a number above 0, such as 0.9')])
def test_adamw_says_which_rate(options, says):
    with pytest.raises(UserError) as error: TrainConfig('CPU', optimizer='adamw', **options)
    assert str(error.value).startswith(says) and str(error.value).endswith('.')
    assert TrainConfig('CPU', optimizer='adamw', lr=0.001).lr == 0.001


def test_old_configurations_still_read():
    saved = json.loads(to_json(preset('ssd_tiny')))
    saved = {part: {name: value for name, value in options.items() if name not in NEW}
             for part, options in saved.items()}
    assert not any('class_balance' in part or 'optimizer' in part for part in saved.values())
    assert from_json(json.dumps(saved)) == preset('ssd_tiny') and isinstance(preset('ssd_tiny'), Config)


@pytest.mark.slow
def test_all_levers_together_go_on_bit_for_bit(small, tmp_path):
    runs = {name: with_parts(small, train=dict(LEVERS['train'], output_dir=str(tmp_path / name)),
                             loss=LEVERS['loss']) for name in ('whole', 'stopped')}
    whole = list(train(runs['whole'], progress=False))
    assert next(iter(train(runs['stopped'], progress=False))).loss == whole[0].loss # one epoch, then no more
    state = read_saved(tmp_path / 'stopped/last.ckpt').arrays
    assert any(name.startswith('adam_v.') for name in state)
    again = with_parts(runs['stopped'], train=dict(resume=True))
    assert [r.loss for r in train(again, progress=False)] == [whole[1].loss]
    ends = [read_saved(tmp_path / f'{name}/last.ckpt').arrays for name in runs]
    assert ends[0].keys() == ends[1].keys()
    assert all((ends[0][name] == ends[1][name]).all() for name in ends[0])
    for part, options, says in (('loss', dict(class_balance=0.), 'trained with --class_balance=0.5, not 0.0'),
                                ('train', dict(pre_trained_lr=1.), 'trained with --pre_trained_lr=0.3')):
        with pytest.raises(UserError, match=says): list(train(with_parts(again, **{part: options})))


def test_weights_of_classes_are_in_the_checkpoint(small, tmp_path):
    run = with_parts(small, train=dict(epoch_size=1, output_dir=str(tmp_path / 'run')),
                     loss=dict(class_balance=1.0))
    list(train(run, progress=False))
    _, config = read_checkpoint(tmp_path / 'run/last.ckpt')
    truth = json.loads((Path(small.data.mindrecord_dir) / 'train/ground_truth.json').read_text())
    found = [note['category_id'] for note in truth['annotations']]
    counts = [found.count(category['id']) for category in truth['categories']]
    assert len(config.loss.class_weights) == 6 and config.loss.class_weights[0] == 1
    shares = np.multiply(counts, config.loss.class_weights[1:])
    assert np.allclose(shares, shares[0], rtol=1e-4) and len(set(counts)) > 1


@pytest.mark.parametrize('read', ['_read_config', '_read_recipe'])
@pytest.mark.parametrize('model', MODELS)
def test_the_preset_for_small_sets_changes_defaults_and_nothing_that_is_given(model, read, tmp_path):
    from ssd_nb.plumbing import training_commands
    from ssd_nb.plumbing.small_sets import adapt_to_small_set
    def ask(*words): return getattr(training_commands, read)([f'--using_model={model}', *words])[0]
    assert ask('--preset=published') == ask()
    assert ask('--preset=small') == adapt_to_small_set(ask()) != ask()
    assert ask('--preset=small', '--lr=0.002').train.lr == 0.002
    own = ask('--preset=small', '--optimizer=momentum').train
    assert (own.lr, own.weight_decay, own.schedule) == (ask().train.lr, ask().train.weight_decay, 'flat')
    file = tmp_path / 'own.yaml'
    file.write_text('preset: small\nbatch_size: 5\n')
    wanted = adapt_to_small_set(ask())
    assert ask(f'--config={file}') == replace(wanted, train=replace(wanted.train, batch_size=5))
    with pytest.raises(UserError, match=r'--preset=smal is not possible.*published.*small'):
        ask('--preset=smal')
