"""Code in a fresh process: for what the one that runs the tests has done already."""

import os
import subprocess
import sys


def run(code, *arguments, **variables):
    """Output of a fresh process, which fails here if it does there."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120.0,
        env=os.environ | {name: str(value) for name, value in variables.items()},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
