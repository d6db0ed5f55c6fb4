"""Number of BLAS threads: what it is, and how to set it, for tests that need more than one."""

import threading

from threadpoolctl import threadpool_info, threadpool_limits


def limits():
    """Numbers of threads of all BLAS libraries."""
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]


def set_limit(n):
    """Set the limit in a thread that ends, as some versions let only that thread change it."""
    thread = threading.Thread(target=threadpool_limits, args=(n, "blas"))
    thread.start()
    thread.join()
