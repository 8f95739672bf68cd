"""Recognises classes without an example of them, by vectors that say what they are: attributes, or words' vectors.

Every way here is fitted on items of seen classes, and then is a score of features and class vectors, of any classes:
`score(features, class_vectors)`, (items, classes), of which the highest wins.
"""

from asr_transfer.transfer.zero_shot.attributes import AttributePrediction, averaged_attributes
from asr_transfer.transfer.zero_shot.bilinear import bilinear_scores, class_ridge, fit_bilinear
from asr_transfer.transfer.zero_shot.calibration import Judged, choose_calibration, generalised
from asr_transfer.transfer.zero_shot.convex import convex_combination, cosine_scores
from asr_transfer.transfer.zero_shot.embedding import ClassEmbedding
from asr_transfer.transfer.zero_shot.relation import ClassRelation

__all__ = [
    "AttributePrediction",
    "ClassEmbedding",
    "ClassRelation",
    "Judged",
    "averaged_attributes",
    "bilinear_scores",
    "choose_calibration",
    "class_ridge",
    "convex_combination",
    "cosine_scores",
    "fit_bilinear",
    "generalised",
]
