"""Train one stage, or the whole tiny recipe: ``python train.py --help``."""

import sys

from translatotron_v.memory import prepare_to_train

prepare_to_train()  # before torch is imported

from translatotron_v.training.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
