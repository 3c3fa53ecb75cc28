"""Time and memory against what the work consists of: which of them grow faster than the work.

The exponent is the slope of a straight line through the logarithms: 1 is linear, 2 quadratic, and less than 1
means that something fixed is paid as well. Of the memory at the peak, what counts is how much it lies above
that of the smallest work, so the exponent is that of what is added.
"""
import numpy as np

import bench_records
from bench_rounds import Engine, run_in_turn

WORSE = 1.1 # an exponent above it, between two neighbouring sizes, is called worse than linear


def list_training(name, values, model, **more):
    return [Engine(f'{name} {value}', 'bench_train:make_ours', dict(model=model, images=8) | more | asked)
            for value, asked in values.items()]


def list_batches(folder, model):
    return list_training('batch', {n: dict(images=n) for n in (2, 4, 8, 16)}, model)


def list_image_sizes(folder, model): # the work is the pixels
    sizes = {n * n: dict(image_shape=[n, n]) for n in (160, 224, 320, 448)}
    return list_training('pixels', sizes, model, images=4)


def list_classes(folder, model):
    return list_training('classes', {n: dict(classes=n) for n in (11, 41, 161, 641)}, model)


def list_conversions(folder, model): return bench_records.list_engines(folder, (500, 2000, 8000))


def list_evaluations(folder, model):
    return [Engine(f'images {n}', 'bench_eval:make_set', dict(images=n, evaluator='hotcoco'))
            for n in (250, 1000, 4000)]


def list_candidates(folder, model): # what is above the threshold in an image
    values = {round(1917 * 80 * share): share for share in (0.003, 0.01, 0.03, 0.1, 0.3)}
    asked = dict(boxes=1917, way='all at once')
    return [Engine(f'candidates {n}', 'bench_eval:make_nms', asked | dict(filled=share))
            for n, share in values.items()]


WHAT = dict( # name -> engines, rounds
    batch=(list_batches, 5), image=(list_image_sizes, 5), classes=(list_classes, 5),
    conversion=(list_conversions, 2), evaluation=(list_evaluations, 2), candidates=(list_candidates, 5))
WHY = dict(candidates='since NMS compares the boxes of a class with each other, in pairs') # what is known


def size_of(name): # the number in it
    return next(int(word) for word in name.split() if word.isdigit())


def fit_exponent(sizes, values): # slope in logarithms
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def fit_growth(found):
    "Exponents of time, of its steepest step (and from where to where), of processor seconds, of added memory"
    sizes = np.array([size_of(name) for name in found], float)
    peaks = np.array([one.memory[1] for one in found.values()])
    added, more = peaks[1:] - peaks[0], sizes[1:] - sizes[0]
    times = [one.fastest for one in found.values()]
    pairs = [slice(i, i + 2) for i in range(len(more))]
    steps = [(fit_exponent(sizes[two], times[two]), *map(int, sizes[two])) for two in pairs]
    return dict(steepest=max(steps), time=fit_exponent(sizes, times),
                processor=fit_exponent(sizes, [one.busy for one in found.values()]),
                memory=fit_exponent(more, added) if len(added) > 1 and min(added) > 20 else None)


def say_growth(what, growth):
    "A sentence about the exponents"
    memory = 'memory hardly grows'
    if growth['memory'] is not None: memory = f'what memory adds with {growth["memory"]:.2f}'
    text = (f'{what}: time grows with the power {growth["time"]:.2f} of the work '
            f'({2 ** growth["time"]:.2f} times for twice as much), {memory}')
    power, least, most = growth['steepest']
    if power <= WORSE: return f'{text}: nowhere worse than linear.'
    why = WHY.get(what, 'and nobody has looked for the reason')
    return f'{text}: worse than linear from {least:,} to {most:,}, with the power {power:.2f}, {why}.'


def measure(what, folder, model):
    "Rows of one kind of growth, each size in a process of its own, in turn"
    list_engines, rounds = WHAT[what]
    return run_in_turn(list_engines(folder, model), rounds, warm=int(rounds > 2))
