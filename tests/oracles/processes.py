"""Runs code in a fresh process, for tests of imports, first calls and environment variables."""

import os
import subprocess
import sys


def run(code, *arguments, **variables):
    """Standard output of Python code in a fresh process; fails with its errors if it fails."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120.0,
        env=os.environ | {name: str(value) for name, value in variables.items()},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
