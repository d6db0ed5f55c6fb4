"""Schedules: which pairs of positions a result needs, and in which order they are computed."""
