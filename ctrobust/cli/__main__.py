"""`python -m ctrobust.cli VERB …`, where the entry points are not on the path."""

import sys

from ctrobust.cli.main import main

sys.exit(main())
