"""Schedules: which pairs of positions a result needs, and the operations that compute them.

`needs` works out the pairs, `operations` defines what a schedule is made of, `writer` writes it,
and `fields` one for engines that carry segments through fast memory.
"""
