"""Benchmarks: scripts that start what they measure, measure it and stop it. Not shipped, and not imported by anything that is.

`python -m bench.authorize` from the root of the checkout, or `make bench`. What is compared, and what came out: docs/performance.md.
"""
