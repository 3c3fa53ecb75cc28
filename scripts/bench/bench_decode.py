"""Compares the input pipeline with loops that only decode the same files: in one process, in as many as the
pipeline has, and with OpenCV's decoder instead of ours."""
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import cv2

import bench_data
from bench_process import in_new_process
from bench_rounds import Engine, tell_spent
from ssd_nb.plumbing.formats import read_annotations
from ssd_nb.plumbing.images import decode_image
from ssd_nb.plumbing.loader import keep_memory


def start_decoder(): # as a worker of the pipeline
    cv2.setNumThreads(0)
    keep_memory()


def decode_files(paths, opencv):
    for path in paths: cv2.imread(path) if opencv else decode_image(Path(path).read_bytes())


def count_processors(run): # a function that returns a number of images
    "The same run, whose processor seconds hold those of the processes below this one"
    def measured():
        start, spent = time.perf_counter(), tell_spent()
        images = run()
        return dict(wall=time.perf_counter() - start, busy=tell_spent() - spent, images=images)
    return measured


def make_loop(config, workers, opencv=False):
    "Reads and decodes all files, and nothing else"
    paths = [str(record.image) for record in read_annotations(bench_data.read_config(config), 'train')[0]]
    pool = ProcessPoolExecutor(workers, get_context('spawn'), initializer=start_decoder)
    def run():
        list(pool.map(decode_files, [paths[k::workers] for k in range(workers)], [opencv] * workers))
        return len(paths)
    return count_processors(run)


def make_pipeline(**asked): return count_processors(bench_data.make_pipeline(**asked))


def list_engines(config, model, batch_size, workers):
    "Loops in one process and in all, pipeline, and pipeline with reduced decoding"
    text = json.dumps(asdict(config))
    in_new_process(bench_data.convert, text)
    engines = [Engine(name, 'bench_decode:make_loop', dict(config=text, workers=n, opencv=name == 'OpenCV'))
               for name, n in (('loop', 1), ('loops', workers), ('OpenCV', 1))]
    for name, reduced in (('pipeline', False), ('reduced', True)):
        own = json.dumps(asdict(replace(config, reduced_decoding=reduced)))
        asked = dict(config=own, model=model, batch_size=batch_size, workers=workers)
        engines.append(Engine(name, 'bench_decode:make_pipeline', asked))
    return engines


def print_parts(found):
    "Images a second and processor time of an image, and both as parts of the loops'"
    rows = {}
    for name, one in found.items():
        images = one.answers[0]['images']
        rows[name] = images / one.fastest, 1e3 * one.busy / images
    for name, (speed, work) in rows.items():
        print(f'{name:9} {speed:6.0f} images/s, {work:5.2f} processor ms an image; of one loop '
              f'{speed / rows["loop"][0]:.2f}, of as many {speed / rows["loops"][0]:.2f}, by processor time '
              f'{rows["loops"][1] / work:.2f}, of one with OpenCV {speed / rows["OpenCV"][0]:.2f}')
