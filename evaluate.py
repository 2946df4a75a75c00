"""Score two folders of pictures, or a trained translator: `python evaluate.py --help`."""

import sys

from translatotron_v.evaluation.command import main

if __name__ == "__main__":
    sys.exit(main())
