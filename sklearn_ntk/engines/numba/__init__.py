"""The compiled engine: an interpreter that carries tiles and lines through a program in cache.

The only package that imports numba.
"""
