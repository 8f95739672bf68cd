"""Prints what is said in recordings: python examples/transcribe.py MODEL RECORDING [RECORDING …]"""

import sys

import asr_transfer as at

model, *files = sys.argv[1:]
recogniser = at.load(model)
for file, text in zip(files, recogniser.transcribe(files), strict=True):
    print(f"{file}: {text}")
