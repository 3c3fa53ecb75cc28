"""Compares the input pipeline with a loop that only decodes: images a second and processor time, in turn."""
import os
import time
from dataclasses import replace
from pathlib import Path

import cv2

from ssd_nb.data import create_dataset
from ssd_nb.plumbing.formats import read_annotations
from ssd_nb.plumbing.loader import _get_pool, end_workers
from ssd_nb.plumbing.records import make_mindrecord


def decode_files(paths):
    "Reads and decodes, and nothing else; returns how long it took, and how much of it a processor worked"
    wall, work = time.perf_counter(), time.process_time()
    for path in paths: cv2.imread(path)
    return time.perf_counter() - wall, time.process_time() - work


def ask_processor_time(): # for a process of the pool
    time.sleep(0.05) # so that the other one takes the other question
    return os.getpid(), time.process_time()


def sum_processor_time(workers):
    "Seconds that this process and its workers have worked"
    jobs = [_get_pool(workers).submit(ask_processor_time) for _ in range(4 * workers)]
    return time.process_time() + sum(dict(job.result() for job in jobs).values())


def run_loop(paths, workers):
    "Images a second of so many processes that only decode, and processor milliseconds of an image"
    start = time.perf_counter()
    jobs = [_get_pool(workers).submit(decode_files, paths[k::workers]) for k in range(workers)]
    work = sum(job.result()[1] for job in jobs)
    return len(paths) / (time.perf_counter() - start), 1e3 * work / len(paths)


def run_pipeline(config, box_config, batch_size, epoch, workers):
    "The same of an epoch of training batches"
    batches = create_dataset(config, box_config, 'train', batch_size, epoch=epoch)
    start, work = time.perf_counter(), sum_processor_time(workers)
    arrays = batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)
    count = sum(len(batch[0]) for batch in arrays)
    wall = time.perf_counter() - start - 0.05 * 4
    return count / wall, 1e3 * (sum_processor_time(workers) - work) / count


def compare_with_decoding(config, box_config, batch_size=16, rounds=7, workers=2):
    """Loop, pipeline, pipeline with reduced decoding, in turn: the fastest round of each as images a second,
    the least processor milliseconds of an image, and both as parts of the loop's"""
    make_mindrecord(config, 'train', progress=True)
    paths = [str(record.image) for record in read_annotations(config, 'train')[0]]
    engines = dict(loop=lambda epoch: run_loop(paths, workers))
    for name, reduced in (('pipeline', False), ('reduced', True)):
        own = replace(config, num_parallel_workers=workers, reduced_decoding=reduced)
        engines[name] = lambda epoch, own=own: run_pipeline(own, box_config, batch_size, epoch, workers)
    found = {name: [] for name in engines}
    for epoch in range(rounds + 1):
        for name, engine in engines.items(): found[name].append(engine(epoch))
    best = {}
    for name, rows in found.items(): # the first round warms up
        speeds, work = zip(*rows[1:])
        best[name] = dict(images_per_second=max(speeds), milliseconds=min(work))
    for row in best.values():
        row['speed'] = row['images_per_second'] / best['loop']['images_per_second']
        row['work'] = best['loop']['milliseconds'] / row['milliseconds']
    end_workers()
    return dict(images=len(paths), kilobytes=sum(Path(p).stat().st_size for p in paths) / len(paths) / 1e3,
                workers=workers, **best)


def print_decoding(found):
    "The same as text"
    print(f'{found["images"]} images of {found["kilobytes"]:.0f} kB, {found["workers"]} processes')
    for name in ('loop', 'pipeline', 'reduced'):
        row = found[name]
        print(f'{name:9} {row["images_per_second"]:6.0f} images/s, {row["milliseconds"]:5.2f} processor ms '
              f'an image; of the loop: {row["speed"]:.2f} by the clock, {row["work"]:.2f} by the processor')
