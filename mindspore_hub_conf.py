"""What MindSpore Hub calls: a network by its name."""
from dataclasses import replace

from ssd_nb.ssd_heads import MODELS
from ssd_nb.plumbing.model_config import ModelConfig, build_model, fit_boxes
from ssd_nb.plumbing.options import UserError

COCO = 81 # classes with background


def create_network(name:str,           # a model of the README, such as ssd300, with - or _
                   num_classes:int=COCO, # classes with background
                   image_shape:tuple=None, # height, width of its input; None: as published
                   **options,          # other fields of `ModelConfig`
                  ):                   # the network with new weights: images to offsets and class logits
    "One of the models; `ms.load_param_into_net` fills it from a checkpoint"
    using_model = name.replace('-', '_')
    if using_model not in MODELS:
        raise UserError(f'{name} is not one of the networks here: give one of {", ".join(MODELS)}.')
    model = ModelConfig(using_model, num_classes, **options)
    boxes = MODELS[using_model].boxes
    if image_shape: boxes = fit_boxes(model, replace(boxes, image_shape=tuple(image_shape)))
    return build_model(model, boxes)
