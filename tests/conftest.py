"""What every test shares: one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported; more threads fight over a small machine
