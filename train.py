"""Train one stage, or the whole tiny recipe: ``python train.py --help``."""

import sys

from translatotron_v.training.memory import keep_freed_memory

keep_freed_memory()  # before torch allocates anything

from translatotron_v.training.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
