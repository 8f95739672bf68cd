"""Writes a model for another program: python examples/export.py MODEL TARGET OUT"""

import sys

import asr_transfer as at

model, target, out = sys.argv[1:]
for line in at.export(model, target, out).lines:
    print(f"{line}.")
