"""All mutants, room by room."""

from __future__ import annotations

from tests.mutants import adaptation, decoding, evaluation, languages, models, speech, training, words

MUTANTS = (
    *adaptation.MUTANTS,
    *languages.MUTANTS,
    *words.MUTANTS,
    *training.MUTANTS,
    *models.MUTANTS,
    *speech.MUTANTS,
    *decoding.MUTANTS,
    *evaluation.MUTANTS,
)
