"""SSD, the Single Shot MultiBox Detector, in MindSpore: what a user of the library calls.

The notebooks explain how it is made.

One name is missing, since a module has it: `from ssd_nb.train import train`.
"""
__version__ = "0.1.0"

from importlib import import_module

_PLACES = {
    'BoxConfig': 'boxes',                   # options: where default boxes lie, and how objects are matched
    'BoxEncoder': 'boxes',                  # objects of an image -> targets of a training
    'default_boxes': 'boxes',               # the default boxes of a configuration, as yxhw
    'iou': 'boxes',                         # how much boxes overlap
    'draw_boxes': 'plumbing.drawing',       # an image with boxes on it
    'DataConfig': 'data',                   # options: where images and annotations are, and how they are read
    'create_dataset': 'data',               # batches for training or evaluation
    'ModelConfig': 'plumbing.model_config', # options: which network, for how many classes
    'MODELS': 'ssd_heads',                  # name -> network and default boxes of each model
    'build_model': 'plumbing.model_config', # the network of a configuration
    'Detector': 'ssd_heads',                # a network with its decoder: images -> boxes and scores
    'LossConfig': 'loss',                   # options: how wrong an answer is
    'SSDLoss': 'loss',                      # the loss of a batch
    'TrainConfig': 'train',                 # options: how the network is trained
    'Config': 'train',                      # all that determines a training
    'preset': 'train',                      # the configuration of a model on its device
    'load_network': 'train',                # the network and configuration of a checkpoint
    'save_checkpoint': 'train',             # writes both
    'EvalConfig': 'eval',                   # options: what becomes a detection, and which images count
    'Detections': 'eval',                   # what a detector says about one image
    'detect': 'eval',                       # boxes and scores of a network -> Detections
    'evaluate': 'eval',                     # mAP of a detector on a data set
    'export_model': 'export_310',           # writes a checkpoint as MINDIR, ONNX or AIR
    'load_predict': 'export_310',           # a checkpoint or exported file -> images to boxes, scores
    'import_detector': 'plumbing.published', # a detector that others trained -> a checkpoint of ours
    'make_mindrecord': 'plumbing.records',  # converts a data set
    'choose_device': 'plumbing.device',     # Ascend, GPU or CPU
    'UserError': 'plumbing.options',        # a mistake that the user can mend, in one sentence
}
__all__ = list(_PLACES)


def __getattr__(name):
    "Imports a module when the first of its names is used: `boxes` needs NumPy alone, others MindSpore"
    if name not in _PLACES: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_PLACES[name]}'), name)


def __dir__():
    return sorted({*globals(), *__all__})
