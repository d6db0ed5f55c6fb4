"""Interpreters of programs: `_numpy`, the readable reference, and `_numba`, compiled and fast."""
