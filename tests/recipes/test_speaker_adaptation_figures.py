"""The recipes of speakers, on voices of tones, come to the figures that are expected of them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipe_figures import check, of_data, run_recipe

SMALL = (
    "--source.model.encoder", "tdnn", "--source.model.layers", "2", "--source.model.dim", "48",
    "--source.model.channels", "48", "--source.trainer.learning_rate", "0.01", "--source.trainer.validate_every", "0",
    "--source.trainer.device", "cpu", "--source.augment.frequency_width", "4", "--source.augment.time_width", "4",
    "--source.speeds", "[1.0]", "--adapt.device", "cpu", "--workers", "1",
)  # fmt: skip


def methods(**rates: list[float]) -> list[str]:
    """Return the option that names methods and their learning rates."""
    grids = [{"name": name.replace("_", "-"), "learning_rates": own} for name, own in rates.items()]
    return ["--methods", json.dumps(grids)]


def test_new_speakers_are_learnt(tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path) -> None:
    """Each tone of a test speaker lies nearly half way to the next one: adapting must help, and much."""
    protocol = ("--protocol.amounts", "[8]", "--protocol.draws", 2, "--protocol.dev_draws", 1,
                "--protocol.test_utterances", 8, "--protocol.others_utterances", 10,
                "--source.trainer.steps", 150, "--adapt.steps", 25)  # fmt: skip
    chosen = methods(full=[0.001, 0.003], head=[0.003])
    given = ("--corpus", tone_corpus["train"].parent, *SMALL, *protocol, *chosen)
    record = run_recipe("speaker_adaptation/run", *given, tmp_path / "out")
    rows = {f"{row['method']}-{row['amount']}": row for row in record["scores"]["rows"]}
    exact = {"data": of_data(record), "systems": sorted(path.name for path in (tmp_path / "out" / "systems").iterdir()),
             "speakers": {name: [row["speakers"], row["draws"]] for name, row in rows.items()}}  # fmt: skip
    rates = {name: row["wer"] for name, row in rows.items()}
    check("speaker_adaptation", exact, {**rates, "others before": rows["full-8"]["others_before"]})


def test_what_others_lose_is_foretold(tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path) -> None:
    """A learning rate that changes nothing costs nobody anything; one that ruins the model costs everyone much."""
    protocol = ("--protocol.amounts", "[6]", "--protocol.draws", 1, "--protocol.dev_draws", 1, "--protocol.others",
                "target", "--protocol.source_utterances", 40, "--protocol.judged_utterances", 10,
                "--source.trainer.steps", 100, "--adapt.steps", 8, "--speakers", 1)  # fmt: skip
    given = ("--corpus", tone_corpus["train"].parent, *SMALL, *protocol, *methods(full=[1e-7, 1.0]))
    record = run_recipe("speaker_adaptation/forgetting", *given, tmp_path / "out")
    cases = {f"{case['method']} {case['learning_rate']:g}": case for case in record["scores"]["cases"]}
    exact = {"data": of_data(record), "units": {name: case["units"] for name, case in cases.items()}}
    kinds = ("trained", "held_out", "adapted", "measured")
    check("forgetting", exact, {f"{name} {kind}": case[kind] for name, case in cases.items() for kind in kinds})
