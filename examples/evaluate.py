"""Counts a model's errors on recordings with transcripts: python examples/evaluate.py MODEL RECORDINGS OUT"""

import sys

import asr_transfer as at

model, recordings, out = sys.argv[1:]
score = at.evaluate(model, recordings, out)
print(f"{score.words.errors} errors in {score.words.reference} words: WER {score.wer:.1%}, CER {score.cer:.1%}")
