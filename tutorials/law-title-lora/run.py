"""Takes the steps of README.md, as `walk.py` of the PEFT tutorial beside this one takes its own:

    python tutorials/law-title-lora/run.py [FOLDER]

FOLDER (data/law-title by default, below the repository) must not exist yet. The exit code is 1 where a command fails,
or where the README shows a line that the command didn't print. Needs `pip install -e '.[finetune]'`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "peft-curation-with-sdg"))

walk: Any = importlib.import_module("walk")
walk.README = HERE / "README.md"
walk.FOLDER = "data/law-title"

if __name__ == "__main__":
    sys.exit(walk.main())
