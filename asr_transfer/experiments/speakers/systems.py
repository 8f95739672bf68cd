"""Writes each row of an adaptation experiment's table as a run folder, so that `compare` takes rows like runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from asr_transfer.evaluation.scoring import Hypothesis, write_scores
from asr_transfer.experiments.core.ledger import renew, write_finished
from asr_transfer.experiments.speakers.protocol import Fold
from asr_transfer.experiments.speakers.rows import chosen_trials
from asr_transfer.experiments.speakers.trials import Trial


def write_systems(
    folder: Path,
    folds: Sequence[Fold],
    trials: Iterable[Trial],
    utterances: Mapping[str, Utterance],
    record: Mapping[str, Any],
) -> list[Path]:
    """Write a run folder `systems/METHOD-AMOUNT` for each row of the table.

    Its utterances are named `ID#DRAW`: a draw tests all amounts and methods on the same recordings. `none-0` is the
    source model.

    Args:
        folder: The experiment's run folder; what `systems` held there is replaced.
        folds: Folds of the experiment.
        trials: Trials of the experiment.
        utterances: Utterances of the corpus by id.
        record: Record of the experiment, from which command, versions and data are taken.

    Returns:
        The folders, in the order of the table.

    Raises:
        DataError: A trial names an utterance that the corpus does not have.
    """
    renew(folder / "systems")
    written = []
    groups = chosen_trials(folds, list(trials))
    before = {(t.speaker, t.draw): t for t in groups.get(("none", 0), [])}
    for (method, amount), group in groups.items():
        path = folder / "systems" / f"{method}-{amount}"
        ordered = sorted(group, key=lambda t: t.key)
        heard = [h for trial in ordered for h in _hypotheses(trial, utterances)]
        total = write_scores(path, heard, ordered[0].profile)
        paired = [(before[t.speaker, t.draw], t) for t in group if (t.speaker, t.draw) in before]
        others = {
            "before": _others([first for first, _ in paired]),
            "after": _others(group),
            "pairs": [
                {"speaker": t.speaker, "before": first.other_errors, "after": t.other_errors, "words": t.other_words}
                for first, t in paired
            ],
        }
        rates = sorted({t.learning_rate for t in group} - {0.0})
        seconds = sum(t.cpu_seconds for t in group)
        write_finished(
            path,
            record,
            config={"method": method, "amount": amount, "learning_rates": rates, **record.get("config", {})},
            scores={"test": total.to_plain(), "others": others},
            adaptation={"trials": len(group), "cpu_seconds": round(seconds / len(group), 3)},
            time={"wall_seconds": round(seconds, 2), "cpu_seconds": round(seconds, 2)},
        )
        written.append(path)
    return written


def _hypotheses(trial: Trial, utterances: Mapping[str, Utterance]) -> list[Hypothesis]:
    """Return what a trial recognised, with the references."""
    found = []
    for name, text in trial.hypotheses.items():
        if name not in utterances:
            raise DataError(f"trials.jsonl: utterance '{name}' is not in the corpus; run again with --overwrite.")
        known = utterances[name]
        found.append(Hypothesis(f"{name}#{trial.draw}", known.speaker, known.language, known.text, text))
    return found


def _others(trials: Sequence[Trial]) -> dict[str, Any]:
    errors, words = sum(t.other_errors for t in trials), sum(t.other_words for t in trials)
    return {"wer": errors / words if words else None, "words": {"errors": errors, "reference": words}}
