"""Training: pure losses, one small class per stage, one loop, one checkpoint format."""
