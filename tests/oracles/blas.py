"""Reads and sets the number of BLAS threads, for tests that need more than one."""

import threading

from threadpoolctl import threadpool_info, threadpool_limits


def limits():
    """List of the numbers of threads of all loaded BLAS libraries."""
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]


def set_limit(n):
    """Set the number of threads, in a new thread: some versions of BLAS keep a limit per thread."""
    thread = threading.Thread(target=threadpool_limits, args=(n, "blas"))
    thread.start()
    thread.join()
