"""Adapts a model to the voice in a folder of recordings: python examples/adapt.py MODEL RECORDINGS OUT NEW_RECORDING"""

import sys

import asr_transfer as at

model, recordings, out, new = sys.argv[1:]
adapted = at.adapt(model, recordings, out, method="first-layers", steps=40)
print("before:", *at.load(model).transcribe([new]))
print("after: ", *adapted.transcribe([new]))
