"""`python -m translatotron_v` is `translatotron-v`."""

import sys

from translatotron_v.cli import main

sys.exit(main())
