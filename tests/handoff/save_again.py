"""Saves a tokenizer as this environment's transformers does: python -m tests.handoff.save_again FROM TO"""

from __future__ import annotations

import sys

from transformers import AutoTokenizer

if __name__ == "__main__":
    AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])
