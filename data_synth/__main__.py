"""`python -m data_synth`."""

import sys

from data_synth.cli import main

if __name__ == "__main__":
    sys.exit(main())
