"""A process for each measurement, and the memory of this one."""
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path


def in_new_process(function, *args):
    "What a function returns in a process of its own, with memory and settings that nobody else uses"
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


def kilobytes(name): return int(re.search(rf'{name}:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])


def memory():
    "Megabytes that this process has in memory"
    return kilobytes('VmRSS') / 1024


def measure_peak_memory():
    "The most megabytes that it ever had there"
    return kilobytes('VmHWM') / 1024
