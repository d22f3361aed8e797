"""The whole platform in one thread on a virtual clock, under seeded faults and crashes, on a real database. See `world` and `story`.

`python -m tests.simulation --help` runs as many seeds as one likes.
"""
