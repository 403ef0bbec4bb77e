"""`python -m mithril.cli` is `mithril`."""

import sys

from mithril.cli._main import main

sys.exit(main())
