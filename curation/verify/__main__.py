"""`python -m curation.verify OUT`."""

from __future__ import annotations

import sys

from curation.verify import main

if __name__ == "__main__":
    sys.exit(main())
