"""A process for what must not be imported or set in this one."""
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def in_new_process(function, *args):
    "What a function returns in a process of its own, with memory and settings that nobody else uses"
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        return pool.submit(function, *args).result()
