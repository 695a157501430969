"""`python -m mbgen`."""

import sys

from mbgen.cli import main

sys.exit(main())
