"""The experiment end to end on a toy corpus: same figures in any number of processes, and after being stopped."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.config import ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig, to_record
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.errors import ConfigError, DataError, NothingUsable
from asr_transfer.experiments.speakers import adapting
from asr_transfer.experiments.speakers.adapting import _risen
from asr_transfer.experiments.speakers.config import AUTOMATIC, ExperimentConfig, MethodGrid
from asr_transfer.experiments.speakers.experiment import only_rate, run_experiment
from asr_transfer.experiments.speakers.protocol import ProtocolConfig, speaker_folds
from asr_transfer.experiments.speakers.rows import summarise
from asr_transfer.experiments.speakers.trials import Trial
from asr_transfer.experiments.speakers.workshop import Workshop

CONFIG = ExperimentConfig(
    protocol=ProtocolConfig(amounts=(3, 8), draws=2, dev_draws=1, test_utterances=8, others_utterances=10),
    source=SourceConfig(
        model=ModelConfig(encoder="tdnn", layers=2, dim=48, channels=48),
        trainer=TrainerConfig(steps=120, learning_rate=0.01, validate_every=0, device="cpu"),
        augment=SpecAugmentConfig(1, 4, 1, 4),
        speeds=(1.0,),
    ),
    adapt=AdaptConfig(steps=25, device="cpu"),
    methods=(MethodGrid("full", (0.001, 0.003)), MethodGrid("first-layers+kld", (0.003,))),
)


@pytest.fixture(scope="module")
def done(tone_corpus: dict[str, Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an experiment that ran in this process."""
    folder = tmp_path_factory.mktemp("experiment")
    folds, trials = run_experiment(tone_corpus, CONFIG, folder, 1, lambda line: None)
    rows = {(row.method, row.amount): row for row in summarise(folds, trials)}
    assert set(rows) == {("none", 0)} | {(g.name, n) for g in CONFIG.methods for n in (3, 8)}
    best = rows[("full", 8)]
    assert best.reduction is not None and best.reduction > 0.1, (
        "a shifted tone speaker must be learnt from 8 utterances"
    )
    assert best.cpu_seconds > 0 and best.learning_rates[0] in (0.001, 0.003)
    return folder


def trials_of(folder: Path) -> dict[str, dict[str, object]]:
    """Return the trials by key without their times."""
    found = {}
    for line in (folder / "trials.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        entry.pop("cpu_seconds")
        key = [entry[name] for name in ("fold", "speaker", "draw", "amount", "method", "learning_rate")]
        assert str(key) not in found, "a trial must be run once"
        found[str(key)] = entry
    return found


def test_only_the_chosen_rate_is_run_on_test_speakers(done: Path) -> None:
    entries = trials_of(done).values()
    rates: dict[tuple[object, object], set[object]] = {}
    for entry in entries:
        if entry["speaker"] in ("ida", "jon") and entry["method"] == "full":
            rates.setdefault((entry["method"], entry["amount"]), set()).add(entry["learning_rate"])
    assert rates and all(len(chosen) == 1 for chosen in rates.values())
    assert all(len(entry["hypotheses"]) == entry["words"] or entry["hypotheses"] for entry in entries)  # type: ignore[arg-type]


def test_a_stopped_experiment_goes_on_with_the_same_figures(
    done: Path, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    lines = (done / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "models").symlink_to(done / "models")
    kept = 2 * len(lines) // 3
    (tmp_path / "trials.jsonl").write_text("\n".join(lines[:kept]) + "\n" + lines[kept][:40], encoding="utf-8")
    run_experiment(tone_corpus, CONFIG, tmp_path, 1, lambda line: None)
    assert trials_of(tmp_path) == trials_of(done)


@pytest.mark.slow
def test_two_processes_give_the_same_figures_as_one(
    done: Path, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    """Of one method's trials of the second draw, which are all that they have to do."""
    (tmp_path / "models").symlink_to(done / "models")
    lines = (done / "trials.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    there = [line for line in lines if json.loads(line)["draw"] == 0 or "kld" not in json.loads(line)["method"]]
    assert len(there) == len(lines) - 4
    (tmp_path / "trials.jsonl").write_text("".join(there), encoding="utf-8")
    run_experiment(tone_corpus, CONFIG, tmp_path, 2, lambda line: None)
    assert trials_of(tmp_path) == trials_of(done)


def test_a_damaged_line_is_named(done: Path, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(done / "models")
    lines = (done / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "trials.jsonl").write_text("\n".join([lines[0], "nonsense", lines[1]]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"trials.jsonl line 2: is no trial"):
        run_experiment(tone_corpus, CONFIG, tmp_path, 1, lambda line: None)


def test_what_ctc_cannot_write_tells_nothing_of_what_others_lose(
    done: Path, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    utterances = read_manifest(tone_corpus["train"])
    endless = replace(utterances[0], id="endless", text=20 * utterances[0].text)
    write_manifest(tmp_path / "train.jsonl", [*utterances, endless])
    shop = Workshop({"train": str(tmp_path / "train.jsonl")}, str(done), CONFIG)
    (fold,) = speaker_folds({name: read_manifest(path) for name, path in tone_corpus.items()}, CONFIG.protocol)
    source, writable = shop.source(fold.name), tuple(u.id for u in utterances[:4])
    other = replace(source, model=copy.deepcopy(source.model))
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(0.3)
    with_it, without = (_risen(shop, replace(fold, judged=ids), other) for ids in ((*writable, "endless"), writable))
    assert with_it is not None and with_it == without and 0 < with_it < 1, "or nothing was lost, or all"
    assert _risen(shop, replace(fold, judged=("endless",)), other) is None
    assert _risen(shop, replace(fold, judged=()), other) is None


@pytest.fixture(scope="module")
def automatic(
    done: Path, tone_corpus: dict[str, Path], feature_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExperimentConfig, Path, list[Trial]]:
    """Return an experiment that chooses for itself on a source model that is given, with its folder and trials."""
    config = replace(
        CONFIG,
        protocol=ProtocolConfig(
            amounts=(3, 8), draws=1, test_utterances=8, others="dev", others_utterances=10, source_utterances=12,
            unit="characters",
        ),
        model=done / "models" / "si",
        adapt=AdaptConfig(steps=25, device="cpu"),
        choice=ChoiceConfig(
            folds=2, with_source=("full+replay",), without_source=("full",), rates=(10.0,), strengths=(1.0,),
            tolerance=10.0,
        ),
        methods=(
            MethodGrid("auto", amounts=(8,)), MethodGrid("auto-without-source", amounts=(8,)),
            MethodGrid("full+replay", (0.003,)),
        ),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("automatic")
    _, trials = run_experiment(tone_corpus, config, folder, 1, lambda line: None)
    return config, folder, trials


def test_automatic_methods_choose_with_and_without_source(
    automatic: tuple[ExperimentConfig, Path, list[Trial]],
) -> None:
    _, folder, trials = automatic
    assert not (folder / "models").exists(), "the given model is used, none is trained"
    by_method = {name: [t for t in trials if t.method == name] for name in ("auto", "auto-without-source")}
    for name, method in (("auto", "full+replay"), ("auto-without-source", "full")):
        assert {t.speaker for t in by_method[name]} == {"ida", "jon"} and {t.amount for t in by_method[name]} == {8}
        assert {t.learning_rate for t in by_method[name]} == {0.0} and all(t.cpu_seconds > 0 for t in by_method[name])
        found = {t.chosen.split(" ")[0] for t in by_method[name]}
        assert method in found <= {method, "none"}
    assert all(t.chosen == "" for t in trials if t.method not in by_method)
    assert {t.amount for t in trials if t.method == "full+replay"} == {3, 8}, "`amounts` limits its own method alone"


def test_what_an_automatic_method_chose_errs_less_or_nothing_was_done(
    automatic: tuple[ExperimentConfig, Path, list[Trial]],
) -> None:
    *_, trials = automatic
    before = {t.speaker: t for t in trials if t.method == "none"}
    for trial in (t for t in trials if t.method in ("auto", "auto-without-source")):
        if trial.chosen.startswith("none"):
            assert trial.hypotheses == before[trial.speaker].hypotheses
        else:
            assert trial.errors < before[trial.speaker].errors


def test_rows_say_what_automatic_methods_chose(
    automatic: tuple[ExperimentConfig, Path, list[Trial]], tone_corpus: dict[str, Path]
) -> None:
    config, _, trials = automatic
    splits = {name: read_manifest(path) for name, path in tone_corpus.items()}
    rows = {row.method: row for row in summarise(speaker_folds(splits, config.protocol), trials)}
    assert set(rows) == {"none", "auto", "auto-without-source", "full+replay"}
    assert all(row.unit == "characters" for row in rows.values())
    assert any(line.startswith("full+replay ") for line in rows["auto"].chosen)


def test_errors_are_counted_in_the_protocols_unit(
    automatic: tuple[ExperimentConfig, Path, list[Trial]], tone_corpus: dict[str, Path]
) -> None:
    texts = {u.id: u.text for u in read_manifest(tone_corpus["test"])}
    for trial in automatic[2]:
        assert trial.unit == "characters" and trial.words == sum(len(texts[name]) for name in trial.hypotheses)


@pytest.mark.parametrize("name", AUTOMATIC)
def test_automatic_methods_have_no_learning_rate_of_their_own(name: str) -> None:
    assert MethodGrid(name).rates == (0.0,) and only_rate(ExperimentConfig(methods=(MethodGrid(name),)), name) == (0.0,)
    with pytest.raises(ConfigError, match="auto"):
        ExperimentConfig(methods=(MethodGrid(f"{name}+kld"),))


def test_one_given_model_cannot_serve_several_folds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`model` is one source model, but this protocol needs one per fold"):
        ExperimentConfig(model=tmp_path, protocol=ProtocolConfig(hold_out="groups"))


def test_amounts_of_a_method_must_be_the_protocols() -> None:
    with pytest.raises(ConfigError, match="full asks for 7 utterances"):
        ExperimentConfig(methods=(MethodGrid("full", amounts=(5, 7)),))


def test_several_rates_need_development_speakers() -> None:
    protocol = ProtocolConfig(others="dev")
    with pytest.raises(ConfigError, match="`full` has several learning rates"):
        ExperimentConfig(protocol=protocol, methods=(MethodGrid("suta"), MethodGrid("full")))
    assert ExperimentConfig(protocol=protocol, methods=(MethodGrid("suta"), MethodGrid("full", (0.1,)))).methods


def test_a_method_stands_twice_by_titles_and_has_settings_of_its_own() -> None:
    usual = AdaptConfig(steps=7, settings=MethodSettings(rank=3))
    plain, own = (
        MethodGrid("lora"),
        MethodGrid("lora", title="lora-half", settings=MethodSettings(rank=2), strength=0.5),
    )
    assert ExperimentConfig(methods=(plain, own)).methods == (plain, own)
    assert (plain.called, own.called) == ("lora", "lora-half") and plain.adapting(usual) == usual
    assert own.adapting(usual) == replace(usual, settings=MethodSettings(rank=2), strength=0.5)
    assert to_record(MethodGrid("lora")) == {"name": "lora", "learning_rates": [0.0001, 0.0003, 0.001], "amounts": []}
    with pytest.raises(ConfigError, match="the title 'a/b' must be of letters"):
        MethodGrid("lora", title="a/b")
    for name, title in (("none", ""), ("lora", "none")):
        with pytest.raises(ConfigError, match="the source model is always run, as `none`"):
            MethodGrid(name, title=title, writing=WritingConfig(guard=False))


def test_unknown_and_doubled_methods_are_refused() -> None:
    with pytest.raises(ConfigError, match="'ful'. Did you mean 'full'"):
        ExperimentConfig(methods=(MethodGrid("ful"),))
    with pytest.raises(ConfigError, match="each once"):
        ExperimentConfig(methods=(MethodGrid("full"), MethodGrid("full")))


@pytest.mark.parametrize("method", ["full", "auto"])
def test_who_drew_nothing_usable_stays_with_the_source_model_and_counts(
    method: str, done: Path, tone_corpus: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, methods=(MethodGrid(method, (0.001,)),))
    shop = Workshop({name: str(path) for name, path in tone_corpus.items()}, str(done), config)
    fold = speaker_folds({name: read_manifest(path) for name, path in tone_corpus.items()}, config.protocol)[0]

    def nothing(*given: object, **named: object) -> None:
        raise NothingUsable("no utterance can be learnt from, so there is nothing to adapt to.")

    monkeypatch.setattr(adapting, "adapt", nothing)
    monkeypatch.setattr(adapting, "adapt_by_choice", nothing)
    with pytest.warns(UserWarning, match=rf"{method} on 3: stays with the source model, for no utterance"):
        trial = adapting._run_trial((shop, fold, (fold.name, fold.test[0], 3, method, 0.001)))
    plain = adapting._run_trial((shop, fold, (fold.name, fold.test[0], 0, "none", 0.0)))
    assert (trial.errors, trial.other_errors) == (plain.errors, plain.other_errors)
    assert trial.chosen == ("nothing usable" if method == "auto" else "")
