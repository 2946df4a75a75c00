"""Score two folders of pictures, or a trained translator: `python evaluate.py --help`."""

import sys

from data_synth.errors import UserError as PagesError
from translatotron_v.evaluation.command import main

if __name__ == "__main__":
    try:
        sys.exit(main())
    except PagesError as error:  # data_synth knows nothing of the package, so its errors are a family of their own
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
