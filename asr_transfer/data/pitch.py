"""Finds the pitch of speech by autocorrelation (Boersma 1993), with SpeechBrain's functions.

librosa's pYIN compiles itself at first use, which takes tens of seconds; where two processes do so at once, numba keeps
code that mixes both of theirs, and every later process dies of it (numba's issue 10486).
"""

from __future__ import annotations

import numpy as np

LOWEST, HIGHEST = 60.0, 600.0
"""Hz between which the pitch of men, women and children lies."""
VOICED = 0.75
"""Share of a frame's power that repeats with its period, from which on the frame counts as voiced; the share is 0.5
where noise is as strong as the voice."""
LEVEL = 1e-3
"""Share of the loudest frame's power from which on a frame can be voiced: 30 dB under it."""
OCTAVE = 0.02
"""Share that a pitch an octave lower must repeat better by, for what repeats with a period does so with its multiples.
"""
_FRAME, _STEP = 0.064, 0.02
"""Seconds: a frame holds three periods of the lowest pitch, which the method asks for."""


def pitch_of(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the fundamental frequency of each voiced frame in Hz; empty where nothing is voiced.

    Args:
        samples: (samples,) mono float32.
        rate: Samples per second.
    """
    size, step = round(_FRAME * rate), round(_STEP * rate)
    if len(samples) < size:
        return np.zeros(0)
    # Loaded where speech is measured, for who only reads the names of what is measured should not wait for them.
    import torch
    from speechbrain.processing.vocal_features import autocorrelate

    frames = torch.from_numpy(samples).unfold(0, size, step)
    frames = frames - frames.mean(1, keepdim=True)
    power = frames.square().mean(1)
    shortest, longest = round(rate / HIGHEST), round(rate / LOWEST)
    repeated = autocorrelate(frames[None])[0, :, shortest - 1 : longest + 2]
    periods = torch.arange(shortest, longest + 1)
    best = (repeated[:, 1:-1] - OCTAVE * periods.log2()).argmax(1, keepdim=True)
    # The top of the parabola through the best period and its neighbours.
    before, at, after = (repeated.gather(1, best + n)[:, 0] for n in range(3))
    bend = (2 * at - before - after).clamp(min=1e-6)
    shift = ((after - before) / bend / 2).clamp(-0.5, 0.5)
    voiced = (at > VOICED) & (power > LEVEL * power.max())
    return np.asarray((rate / (periods[best[:, 0]] + shift))[voiced].double())
