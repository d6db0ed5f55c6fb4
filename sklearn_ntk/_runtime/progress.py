"""Progress messages of long computations, and a warning before those of hours."""

import threading
import time
import warnings

LONG = 3600.0
"""Seconds left above which `Progress` warns."""

INTERVAL = 1.0
"""Seconds between messages, and before the first one."""

PATIENCE = 10.0
"""Seconds before the warning: first units may be slow, for instance as results get their memory."""


class Progress:
    """Counts units of work, from any thread, and estimates the time that is left.

    The warning waits until the units since the last message, too, are as slow as it says.

    Parameters
    ----------
    total : int
        Number of units in all, such as pairs of rows.
    what : str
        Name of the computation in messages.
    remedy : str
        What the warning advises.
    verbose : int
        Whether messages are printed, if not zero.
    """

    def __init__(self, total, what, remedy, verbose=0):
        self.total, self.what, self.remedy, self.verbose = total, what, remedy, verbose
        self.done, self.told, self.has_warned = 0, 0, False
        self.start = self.last = time.monotonic()
        self._lock = threading.Lock()

    def add(self, n):
        """Count ``n`` more units."""
        with self._lock:
            self.done += n
            now = time.monotonic()
            is_due = now - self.last >= INTERVAL or (self.done >= self.total and self.verbose)
            if is_due:
                recent = (now - self.last) / max(self.done - self.told, 1)
                self.last, self.told = now, self.done
                self._tell(now - self.start, recent)

    def reach(self, n):
        """Count the units that are missing from ``n``, if any, from one thread."""
        if n > self.done:
            self.add(n - self.done)

    def _tell(self, elapsed, recent):
        """Print the share done and the time left, and warn once if that is more than `LONG`.

        ``recent`` are the seconds of a unit since the last message.
        """
        left = elapsed * (self.total - self.done) / max(self.done, 1)
        if self.verbose:
            share = 100.0 * self.done / self.total
            end = f"{_clock(left)} left" if left else f"done in {_clock(elapsed)}"
            print(f"{self.what}: {share:.0f} %, {end}", flush=True)
        least = min(left, recent * (self.total - self.done))
        if least > LONG and elapsed >= PATIENCE and not self.has_warned:
            self.has_warned = True
            warnings.warn(
                f"{self.what} will take about {least / 3600.0:.1f} hours: {self.remedy}.",
                stacklevel=2,
            )


def _clock(seconds):
    """Seconds as the text ``hours:minutes:seconds``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
