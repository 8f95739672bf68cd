"""Run folders with made-up hypotheses, for everything that reads results: no model is trained."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asr_transfer.data.manifest import Utterance, checksum, write_manifest
from asr_transfer.evaluation.scoring import Hypothesis, write_scores

TEXT = (
    "the a of to and in is it you that he was for on are with as his they at be this have from or one had by word but "
    "not what all were we when your can said there use an each which she do how their if will up other about out many "
    "then them these so some her would make like him into time has look two more write go see number no way could"
)
WORDS = TEXT.split()
SPEAKERS = ("ann", "bob", "cid", "dora", "eve", "fay", "gus", "hal")
MORE = (*SPEAKERS, "ivy", "jon", "kim", "lea")
"""Of eight speakers no test of nine systems can show a difference: 9 × 2⁻⁷ is above 0.05."""


def utterances(count: int, speakers: Sequence[str] = SPEAKERS, seed: int = 0, words: int = 9) -> list[Hypothesis]:
    """Return perfectly recognised utterances, spread over speakers and the languages en and fr."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        speaker = speakers[number % len(speakers)]
        text = " ".join(chance.choices(WORDS, k=chance.randint(max(1, words // 2), words * 3 // 2)))
        language = "fr" if speaker in ("eve", "gus") else "en"
        made.append(Hypothesis(f"{speaker}-{number:04d}", speaker, language, text, text))
    return made


def garbled(perfect: Sequence[Hypothesis], rate: float, seed: int) -> list[Hypothesis]:
    """Return the utterances with words substituted, left out and put in; `rate` of them, more of some speakers."""
    chance = random.Random(seed)
    made = []
    for entry in perfect:
        own = rate * (0.5 + 1.5 * (sum(map(ord, entry.speaker)) % 7) / 6)
        heard: list[str] = []
        for word in entry.reference.split():
            draw = chance.random() / own if own else 9
            if draw < 0.6:
                heard.append(chance.choice(WORDS))
            elif 0.6 <= draw < 0.8:
                continue
            else:
                heard.append(word)
            if 0.8 <= draw < 1:
                heard.append(chance.choice(WORDS))
        made.append(replace(entry, hypothesis=" ".join(heard)))
    return made


def write_run(
    folder: Path,
    hypotheses: Sequence[Hypothesis],
    *,
    config: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    profile: str = "none",
    **more: Any,
) -> Path:
    """Write a finished run folder with the given hypotheses and return it."""
    total = write_scores(folder, hypotheses, profile)
    values = {
        "format": 1,
        "status": "finished",
        "command": f"asr-transfer evaluate --model {folder.name} --data test.jsonl --out {folder.name}",
        "started": "2026-01-02T03:04:05Z",
        "finished": "2026-01-02T03:05:06Z",
        "config": dict(config or {}),
        "data": dict(data or {}),
        "versions": {"python": "3.11", "torch": "2.11.0"},
        "commit": "0123456789ab",
        "history": [],
        "scores": {"test": total.to_plain()},
        "time": {"wall_seconds": 61.0, "cpu_seconds": 59.5},
        "peak_memory_mb": 512.0,
        **more,
    }
    (folder / "run.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return folder


def write_recipe(folder: Path, perfect: Sequence[Hypothesis], recordings: bool = False) -> Path:
    """Write a recipe's run folder: the source model and three methods at three amounts, and return it."""
    data: dict[str, Any] = {}
    if recordings:
        made = []
        for number, entry in enumerate(perfect):
            path = folder / "corpus" / f"{entry.id}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = 0.2 * np.sin(np.arange(4800) * (0.05 + 0.001 * number))
            soundfile.write(path, tone, 16_000)
            made.append(Utterance(entry.id, str(path), 0.3, entry.reference, entry.speaker, entry.language))
        write_manifest(folder / "corpus" / "test.jsonl", made)
        data["test"] = {
            "path": str(folder / "corpus" / "test.jsonl"), "utterances": len(made), "checksum": checksum(made),
            "speakers": len({u.speaker for u in made}), "seconds": 0.3 * len(made),
        }  # fmt: skip
    rates = {
        ("none", 0): 0.30,
        ("full", 5): 0.27, ("full", 10): 0.20, ("full", 20): 0.14,
        ("kld", 5): 0.22, ("kld", 10): 0.19, ("kld", 20): 0.16,
        ("last-layers", 5): 0.36, ("last-layers", 10): 0.31, ("last-layers", 20): 0.295,
    }  # fmt: skip
    for number, ((method, amount), rate) in enumerate(rates.items()):
        config = {"method": method, "amount": amount, "learning_rates": [0.001], "protocol": {"draws": 1, "seed": 0}}
        drawn = [replace(entry, id=f"{entry.id}#0") for entry in garbled(perfect, rate, number)]
        write_run(folder / "systems" / f"{method}-{amount}", drawn, config=config, data=data)
    return write_run_json(folder, data)


def write_run_json(folder: Path, data: Mapping[str, Any]) -> Path:
    """Write the record of a recipe's run, which has no hypotheses of its own."""
    values = {
        "format": 1, "status": "finished", "command": "run.py --out runs/demo", "config": {}, "data": dict(data),
        "history": [], "scores": {"rows": []}, "versions": {}, "commit": None, "started": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(values), encoding="utf-8")
    return folder
