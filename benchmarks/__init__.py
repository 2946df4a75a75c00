"""Speed and memory, as ratios within one run: ``python -m benchmarks [NAME ...]``; never part of the tests.

Absolute times say something about the machine, ratios and shares of what the machine can do about the code. Every part
runs in a process of its own, on one thread, and CPU-seconds are what is measured; on a GPU it is synchronised
wall-clock seconds.
"""
