"""Checks of input, memory, threads, progress, warnings: all but mathematics. Internal.

Modules of every floor import it; it imports none of them.
"""
