"""Draws spectrograms of a report's worst utterances: noise, clipping and words that are cut off can be seen in them."""

from __future__ import annotations

import base64
import io

import librosa
import matplotlib.image
import numpy as np

from asr_transfer import audio
from asr_transfer.errors import DataError
from asr_transfer.evaluation.compare import Compared
from asr_transfer.evaluation.listing import places, read_place, worst_first

SHOWN = 10
"""Utterances with a spectrogram."""
LONGEST = 20.0
"""Seconds of an utterance that are drawn."""
BANDS = 64
RANGE = 70.0
"""dB from the loudest point down to the darkest colour."""
_COLUMNS = 600
"""Most pixels across; longer hops keep a long utterance's picture small."""


def spectrograms(compared: Compared) -> dict[int, str]:
    """Return the addresses of pictures of the focused system's worst utterances, by utterance.

    Those whose recordings are not known or cannot be read have none.
    """
    known = places(compared)
    drawn = {}
    for n in worst_first(compared.focus)[:SHOWN]:
        if n in known:
            try:
                samples = read_place(known[n], LONGEST)
            except DataError:
                continue
            drawn[n] = "data:image/png;base64," + base64.b64encode(picture(samples)).decode("ascii")
    return drawn


def picture(samples: np.ndarray) -> bytes:
    """Return a log-mel spectrogram as a PNG, low bands at the bottom, a row for each of `BANDS`.

    Args:
        samples: (samples,) mono float32 at `audio.SAMPLE_RATE`.
    """
    hop = max(audio.SAMPLE_RATE // 100, -(-len(samples) // _COLUMNS))
    mels = librosa.feature.melspectrogram(y=samples, sr=audio.SAMPLE_RATE, n_fft=512, hop_length=hop, n_mels=BANDS)
    decibels = librosa.power_to_db(mels, ref=max(float(mels.max()), 1e-10), top_db=RANGE)
    with io.BytesIO() as out:
        matplotlib.image.imsave(out, decibels, vmin=-RANGE, vmax=0.0, cmap="magma", origin="lower", format="png")
        return out.getvalue()
