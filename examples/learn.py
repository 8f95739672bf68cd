"""Teaches a model a language: python examples/learn.py MODEL RECORDINGS LANGUAGE OUT NEW_RECORDING"""

import sys

import asr_transfer as at

model, recordings, language, out, new = sys.argv[1:]
learnt = at.learn(model, recordings, out, language=language, steps=60)  # leave `steps` out for a real one
print(f"{learnt.head}:", *learnt.transcribe([new]))
