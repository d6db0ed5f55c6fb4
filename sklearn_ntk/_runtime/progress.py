"""How far a long computation is, and the warning before a very long one."""

import threading
import time
import warnings

LONG = 3600.0
"""Seconds above which a computation is worth a warning."""

INTERVAL = 1.0
"""Seconds between messages, and before the first estimate."""


class Progress:
    """Counts units of work, from any thread, and estimates the time that is left.

    Parameters
    ----------
    total : int
        Units of work in all.
    what : str
        What is computed, for messages.
    remedy : str
        What makes it shorter, for the warning.
    verbose : int
        Whether to print messages.
    """

    def __init__(self, total, what, remedy, verbose=0):
        self.total, self.what, self.remedy, self.verbose = total, what, remedy, verbose
        self.done, self.has_warned = 0, False
        self.start = self.last = time.monotonic()
        self._lock = threading.Lock()

    def add(self, n):
        """Count ``n`` more units."""
        with self._lock:
            self.done += n
            now = time.monotonic()
            is_due = now - self.last >= INTERVAL or (self.done >= self.total and self.verbose)
            if is_due:
                self.last = now
                self._tell(now - self.start)

    def _tell(self, elapsed):
        left = elapsed * (self.total - self.done) / max(self.done, 1)
        if self.verbose:
            share = 100.0 * self.done / self.total
            end = f"{_clock(left)} left" if left else f"done in {_clock(elapsed)}"
            print(f"{self.what}: {share:.0f} %, {end}", flush=True)
        if left > LONG and not self.has_warned:
            self.has_warned = True
            warnings.warn(
                f"{self.what} will take about {left / 3600.0:.1f} hours: {self.remedy}.",
                stacklevel=2,
            )


def _clock(seconds):
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
