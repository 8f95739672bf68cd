"""Words never trained on: ranks against separate searches, homophones, what was heard, and the recipe as a whole."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.decoders import GreedyDecoder
from asr_transfer.decoding.lexicon_search import best_words, free_score, score_words
from asr_transfer.decoding.lexicon_tree import PrefixTree
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.runs import load_systems
from asr_transfer.experiments.words import unseen as experiment
from asr_transfer.experiments.words.isolated_words import (
    NEVER,
    Judged,
    Listened,
    Vocabulary,
    draw_others,
    in_units,
    judge,
)
from asr_transfer.experiments.words.tables import words_table
from asr_transfer.experiments.words.unseen import UNSEEN, Row, Words, WordsConfig, refuse_leaks, try_model
from asr_transfer.experiments.words.word_exposure import (
    ALIKE,
    INSIDE,
    LACKING,
    PARTS,
    TRAINED,
    WITHIN,
    Heard,
    split_pinyin,
    syllables,
)
from asr_transfer.runs.record import read_record
from data_prep.made_up import MadeUpConfig, make_words, prepare_made_up
from tests.real_runs import ROOT, load
from tests.recipe_figures import check, of_data
from tests.small import small_model
from tests.tones import speak

PHONES = Tokens(list("abcdef"), "phones")


def _said(word: str, phones: str | None = None, name: str = "") -> Utterance:
    return Utterance(name or word, f"{name or word}.wav", 1.0, word, "ann", "xx", pronunciation=phones)


def _lexicon(words: int = 40, seed: int = 0) -> Lexicon:
    """Return words of random letters, some with a second pronunciation, some of which sound alike."""
    draw = random.Random(seed)
    pairs: dict[tuple[str, str], None] = {}
    while len(pairs) < words:
        word = "".join(draw.choices("abcdef", k=draw.randint(1, 4)))
        pairs[word, " ".join(word)] = None
        if draw.random() < 0.3:
            pairs[word.upper(), " ".join(word)] = None
        if draw.random() < 0.2:
            pairs[word, " ".join(word[::-1] + "a")] = None
    return Lexicon.from_pairs(pairs)


def _listened(vocabulary: Vocabulary, count: int, frames: int = 9) -> tuple[Listened, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    log_probs = (3 * torch.randn(count, frames, 7, dtype=torch.float64)).log_softmax(-1)
    lengths = torch.randint(2, frames + 1, (count,))
    scores = vocabulary.tree.word_scores(score_words(log_probs, lengths, vocabulary.tree)).numpy()
    free = free_score(log_probs, lengths).numpy()
    return Listened(vocabulary.canonical(scores), free, lengths.numpy()), log_probs, lengths


def test_ranks_and_margins_are_those_of_a_search_in_each_random_lexicon() -> None:
    vocabulary = Vocabulary(_lexicon(), PHONES)
    test = [_said(word) for word in vocabulary.words[:12]]
    listened, log_probs, lengths = _listened(vocabulary, len(test))
    sizes, draws = (5, 20, len(vocabulary)), 3
    judged = judge(listened, test, vocabulary, sizes, draws, seed=1)
    never = 0
    for n, utterance in enumerate(test):
        order = draw_others(utterance, n, len(vocabulary), draws, 1)
        alike = set(vocabulary.alike(n).tolist())
        for s, size in enumerate(sizes):
            for d in range(draws):
                kept = {n, *order[d, : size - 1].tolist()}
                found = _search(vocabulary, kept, log_probs[n], lengths[n])
                scores = dict(found)
                margins = [(score - listened.free[n]) / int(lengths[n]) for _, score in found]
                assert len(kept) == size
                assert judged.own[s, n, d] == pytest.approx(margins[0])
                without = _search(vocabulary, kept - alike, log_probs[n], lengths[n])
                expected = (without[0][1] - listened.free[n]) / int(lengths[n]) if without else -np.inf
                assert judged.foreign[s, n, d] == pytest.approx(expected)
                if utterance.text not in scores:
                    assert judged.rank[s, n, d] == judged.sound_rank[s, n, d] == NEVER
                    never += 1
                    continue
                own = scores[utterance.text]
                ahead = [word for word, score in found if score > own + 1e-9]
                level = [w for w, x in found if abs(x - own) <= 1e-9 and vocabulary.words.index(w) < n]
                assert judged.rank[s, n, d] == 1 + len(ahead) + len(level)
                sounds = {vocabulary.pronunciations[vocabulary.words.index(w)] for w in ahead + level}
                others = {p for p in sounds if not p & vocabulary.pronunciations[n]}
                assert judged.sound_rank[s, n, d] == 1 + len(others)
    assert 0 < never < judged.rank.size, "some words, and not all, must be too long for their frames"
    assert (judged.rank > judged.sound_rank).any(), "homophones must matter somewhere"


def _search(vocabulary: Vocabulary, kept: set[int], log_probs: torch.Tensor, length: Any) -> list[tuple[str, float]]:
    """Return all words of a lexicon of its own, best first."""
    words = {vocabulary.words[n] for n in kept}
    entries = [entry for entry in vocabulary.tree.lexicon if entry.word in words]
    if not entries:
        return []
    tree = PrefixTree(Lexicon(entries), vocabulary.tree.tokens)
    found = best_words(log_probs[None], length[None], tree, len(words))[0]
    return [(word, score) for word, _, score in found]


def test_a_smaller_lexicon_lies_inside_the_larger_and_draws_do_not_depend_on_other_words() -> None:
    orders = draw_others(_said("cab"), 3, 50, 4, 0)
    assert all(sorted(order.tolist()) == [n for n in range(50) if n != 3] for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert np.array_equal(orders, draw_others(_said("cab"), 3, 50, 4, 0))
    assert not np.array_equal(orders, draw_others(_said("dab"), 3, 50, 4, 0))
    vocabulary = Vocabulary(_lexicon(), PHONES)
    test = [_said(word) for word in vocabulary.words[:8]]
    listened, _, _ = _listened(vocabulary, 8)
    ranks = judge(listened, test, vocabulary, (3, 10, 30), 2, 0).rank
    assert (np.diff(ranks, axis=0) >= 0).all(), "no rank rises with more words to confuse"


def test_words_that_sound_alike_are_one_by_sound_and_the_first_of_the_lexicon_otherwise() -> None:
    vocabulary = Vocabulary(Lexicon.from_pairs([("ab", "a b"), ("AB", "a b"), ("cd", "c d")]), PHONES)
    listened = Listened(np.array([[-1.0, -1.0, -9.0]] * 2), np.array([-1.0] * 2), np.array([4] * 2))
    judged = judge(listened, [_said("ab"), _said("AB")], vocabulary, (3,), 1, 0)
    assert judged.rank.ravel().tolist() == [1, 2]
    assert judged.sound_rank.ravel().tolist() == [1, 1]
    assert judged.foreign.ravel().tolist() == [-2.0, -2.0], "without either of them"
    with pytest.raises(DataError, match="'abc'.*not in the lexicon.*add it"):
        judge(listened, [_said("abc"), _said("ab")], vocabulary, (3,), 1, 0)


def test_the_threshold_is_chosen_on_development_words(monkeypatch: pytest.MonkeyPatch) -> None:
    margins = {"ab": (-9.0, -5.0), "cd": (1.0, 5.0)}  # of words outside and inside of the lexicon

    def judged(recogniser: object, utterances: Any, *rest: object) -> Judged:
        foreign, own = (np.full((1, 1, 1), margin) for margin in margins[utterances[0].text])
        return Judged(np.ones((1, 1, 1), int), np.ones((1, 1, 1), int), own, foreign, np.array([0]))

    monkeypatch.setattr(experiment, "_judged", judged)
    lexicon = Lexicon.from_pairs([("ab", "a b"), ("cd", "c d")])
    words = Words([], [_said("cd")], [_said("ab")], lexicon)
    recogniser = Recogniser(small_model(heads={"xx": len(PHONES)}), PHONES, "xx", {})
    trial = try_model("m", recogniser, words, None, WordsConfig())  # type: ignore[arg-type]
    assert [limit.threshold for limit in trial.thresholds] == [3.0]


def test_a_model_of_whole_words_never_finds_an_unseen_word() -> None:
    trained = Tokens.from_texts(["abba", "cab"], "words")
    torch.manual_seed(0)
    heard = GreedyDecoder(trained)(20 * torch.randn(200, 6, len(trained)), torch.full((200,), 6))
    assert {word for one in heard for word in one.text.split()} == {"abba", "cab"}
    with pytest.raises(DataError, match="'face' cannot be spelled"):
        trained.encode("face")
    with pytest.raises(ConfigError, match="spells words, which cannot spell words that it never heard"):
        in_units(_lexicon(), trained)


def test_a_lexicon_loses_its_tones_for_a_model_that_hears_none() -> None:
    lexicon = Lexicon.from_pairs([("事实", "sh i4 sh i2"), ("实施", "sh i2 sh i1")])
    toneless = in_units(lexicon, Tokens(["i", "sh"], "toneless-phones"))
    assert Vocabulary(toneless, Tokens(["i", "sh"], "toneless-phones")).alike(0).tolist() == [0, 1]
    with pytest.raises(DataError, match="phone 'i4'"):
        Vocabulary(in_units(lexicon, Tokens(["i2", "sh"], "phones")), Tokens(["i2", "sh"], "phones"))


def test_what_was_heard_of_a_word() -> None:
    train = [
        _said("中国", "zh ong1 g uo2"),
        _said("他", "t a1"),
        _said("爸爸", "b a4 b a5"),
        _said("大家好", "d a4 j ia1 h ao3"),
    ]
    test = {
        _said("中国", "zh ong1 g uo2", "x"): (TRAINED, TRAINED),
        _said("她", "t a1"): (ALIKE, ALIKE),
        _said("家", "j ia1"): (WITHIN, WITHIN),
        _said("家好", "j ia1 h ao3"): (WITHIN, WITHIN),
        _said("加", "j ia1"): (INSIDE, INSIDE),
        _said("家国", "j ia1 g uo2"): (PARTS["syllables"],) * 2,
        _said("大国", "d a4 g uo2"): (PARTS["syllables"],) * 2,
        _said("大锅", "d a4 g uo1"): (LACKING["syllables"], PARTS["syllables"]),
        _said("女", "n v3"): (LACKING["syllables"],) * 2,
        _said("塔", "t a3"): (LACKING["syllables"], ALIKE),
    }
    for column, units in enumerate(("phones", "toneless-phones")):
        heard = Heard(train, units, "pinyin")  # type: ignore[arg-type]
        assert [heard.category(word) for word in test] == [pair[column] for pair in test.values()]
        assert set(pair[column] for pair in test.values()) <= set(heard.categories)
    pairs = Heard([_said("abc", "a b c")], "phones", "ipa")
    assert [pairs.category(_said(w, p)) for w, p in (("x", "b c"), ("y", "a b a b"), ("z", "c"))] == [
        INSIDE, LACKING["pairs"], INSIDE,
    ]  # fmt: skip


def test_syllables_are_counted() -> None:
    assert split_pinyin(["zh", "ong1", "er2", "n2"]) == [("zh", "ong1"), ("er2",), ("n2",)]
    assert syllables(["zh", "ong1", "g", "uo2"], "pinyin") == 2
    assert syllables(["z", "ih", "r", "ow"], "arpabet") == 2
    assert syllables(["p", "a", "ʊ", "l", "ˈã", "s"], "ipa") == 2


def test_settings_and_recordings_that_make_no_sense_are_refused() -> None:
    for changes in ({"lexicon_sizes": (10, 5)}, {"lexicon_sizes": (1,)}, {"draws": 0}, {"false_rejection": 1.0}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            WordsConfig(**changes)  # type: ignore[arg-type]
    assert WordsConfig().sizes(4995) == (100, 1000, 2306, 4995)
    lexicon = Lexicon.from_pairs([("ab", "a b")])
    with pytest.raises(DataError, match="'ab'.*in `train` and in `test`"):
        refuse_leaks(Words([_said("ab")], [], [_said("ab")], lexicon), print)
    again = replace(_said("ab"), id="again")
    for trained, tested in ((None, None), (0.5, 0.5)):  # whole, and the same part of a recording
        with pytest.raises(DataError, match="'again'.*in `train` and in `test`"):
            refuse_leaks(
                Words([replace(_said("ab"), start=trained)], [], [replace(again, start=tested)], lexicon), print
            )
    with pytest.raises(DataError, match="no test words"):
        refuse_leaks(Words([_said("ab")], [], [], lexicon), print)


def test_tables_show_every_size_and_group() -> None:
    row = Row(4995, UNSEEN, 3, 3, 1, 0.5, 0.25, 0.75, 1.0, 0.6, 0.3, 0.8, 1.0)
    text = words_table([row, replace(row, group="- 1 syllable", false_rejection=0.05)]).markdown()
    assert "| **4,995** | **never trained on** | **3** | **50.0** | **25 … 75** |" in text
    assert "| 5.0 | – |" in text and "finds none of the words" in text


@pytest.mark.voices
def test_made_up_words_are_spoken_in_splits_without_common_words(tmp_path: Path) -> None:
    config = MadeUpConfig(40, 14, 2, 3, 1, 2, 1, 9)
    assert make_words(config) == make_words(config) != make_words(replace(config, seed=1))
    prepare_made_up(config, tmp_path)
    said = {split: read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")}
    texts = {split: {u.text for u in part} for split, part in said.items()}
    assert len(texts["train"]) == 14 and not texts["train"] & texts["dev"]
    assert len(texts["test"] & texts["train"]) == 1 and len(texts["test"]) == 4
    assert not {u.speaker for u in said["train"]} & {u.speaker for u in said["test"]}
    lexicon = Lexicon.read(tmp_path / "lexicon.txt")
    assert len(lexicon.words) == 40
    phones = {(entry.word, " ".join(entry.phones)) for entry in lexicon}
    assert all((u.text, u.pronunciation) in phones for part in said.values() for u in part)
    assert soundfile.info(said["test"][0].audio).duration == pytest.approx(said["test"][0].duration, abs=0.001)
    spoken = {phone for u in said["train"] for phone in (u.pronunciation or "").split()}
    lexicon.check(sorted(spoken))
    prepare_made_up(config, tmp_path)
    with pytest.raises(DataError, match="other settings"):
        prepare_made_up(replace(config, seed=1), tmp_path)
    with pytest.raises(ConfigError, match="made_up.words"):
        MadeUpConfig(words=10)


@pytest.fixture(scope="module")
def tone_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of manifests and a lexicon of words of tones; test words are not in train."""
    folder = tmp_path_factory.mktemp("words")
    words = sorted({"".join(random.Random(n).choices("abcdef", k=2 + n % 3)) for n in range(150)})
    random.Random(0).shuffle(words)
    parts = {"train": words[:70], "dev": words[70:80], "test": words[80:100]}
    (folder / "wav").mkdir()
    for split, part in parts.items():
        made = []
        for n, word in enumerate(part):
            samples = speak(word, 1.0 + 0.002 * (n % 5), n)
            file = folder / "wav" / f"{split}-{n}.wav"
            soundfile.write(file, samples, SAMPLE_RATE)
            made.append(
                Utterance(
                    file.stem, str(file), len(samples) / SAMPLE_RATE, word, "ann", "en", None, None, " ".join(word)
                )
            )
        write_manifest(folder / f"{split}.jsonl", made)
    Lexicon.from_pairs((word, " ".join(word)) for word in words).save(folder / "hsk_lexicon.txt")
    return folder


ARGUMENTS = (
    "--corpus", "hsk", "--lexicon_sizes", "[10,1000]", "--draws", "2", "--workers", "1",
    "--learn.model.encoder", "tdnn", "--learn.model.layers", "2", "--learn.model.dim", "48",
    "--learn.model.channels", "48", "--learn.trainer.steps", "150", "--learn.trainer.validate_every", "50",
    "--learn.trainer.batch_budget", "1500", "--learn.trainer.learning_rate", "0.01", "--learn.trainer.device", "cpu",
    "--learn.augment", "null", "--learn.speeds", "[1.0]",
)  # fmt: skip


def _run(words: Path, out: Path, *more: str) -> int:
    recipe = load(ROOT / "recipes" / "zero_shot_words" / "run.py")
    given = [*ARGUMENTS, "--root", str(words), "--out", str(out), *more]
    return recipe.script(recipe.Recipe, recipe.run, given)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def found(tone_words: Path, feature_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the run folder of the recipe on words of tones, and what it printed."""
    out = tmp_path_factory.mktemp("found") / "run"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert _run(tone_words, out) == 0
    return out, printed.getvalue()


def test_the_recipe_finds_unseen_words(found: tuple[Path, str]) -> None:
    out, printed = found
    assert "never trained on" in printed
    rows = [Row(**row) for row in read_record(out)["scores"]["rows"]]
    whole = next(row for row in rows if row.group == UNSEEN and row.size > 10)
    assert whole.words == 20 and whole.first >= 0.5 and whole.low <= whole.first <= whole.high <= whole.sound_high
    assert whole.false_rejection is not None and whole.false_acceptance is not None
    lines = (out / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
    right = [(one := json.loads(line))["reference"] == one["hypothesis"] for line in lines]
    assert sum(right) / len(right) == pytest.approx(whole.first)
    (system,) = load_systems(out)
    assert len(system.ids) == 20
    assert "**never trained on**" in (out / "table.md").read_text(encoding="utf-8")


def test_the_recipe_comes_to_the_figures_that_are_expected(found: tuple[Path, str]) -> None:
    record = read_record(found[0])
    rows = {f"{row['group']}, lexicon of {row['size']}": row for row in record["scores"]["rows"]}
    steps = read_record(found[0] / "models" / "seed-0")["config"]["trainer"]["steps"]
    exact = {"data": of_data(record), "steps": steps, "words": {name: row["words"] for name, row in rows.items()}}
    check("zero_shot_words", exact, {name: 1 - row["first"] for name, row in rows.items()})


def test_the_recipe_goes_on_without_training_again(found: tuple[Path, str], tone_words: Path, tmp_path: Path) -> None:
    """As if it had been stopped when the model was done."""
    out = Path(shutil.copytree(found[0], tmp_path / "run"))
    weights, values = out / "models" / "seed-0" / "model" / "model.safetensors", read_record(out)
    before = weights.stat().st_mtime_ns
    (out / "run.json").write_text(json.dumps({**values, "status": "running"}), encoding="utf-8")
    assert _run(tone_words, out, "--resume") == 0
    assert weights.stat().st_mtime_ns == before and read_record(out)["scores"] == values["scores"]


def test_the_recipe_scores_a_finished_model(
    found: tuple[Path, str], tone_words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tone_words, tmp_path / "second", "--models", f"[{found[0] / 'models' / 'seed-0'}]") == 0
    assert read_record(tmp_path / "second")["scores"]["rows"] == read_record(found[0])["scores"]["rows"]
    assert "was trained on other utterances" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--learn.units", "words"], "cannot spell words that were never heard"),
        (["--models", "[a]", "--source", "b"], "leave one out"),
        (["--source", "b"], "scratch is for no `source`"),
        (["--made_up.words", "9000"], "of the corpus synthetic"),
        (["--seeds", "[1,1]"], "`seeds` must not hold a value twice"),
    ],
)
def test_the_recipe_refuses_options_that_conflict(
    given: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load(ROOT / "recipes" / "zero_shot_words" / "run.py")
    assert recipe.script(recipe.Recipe, recipe.run, ["--corpus", "hsk", "--out", str(tmp_path / "x"), *given]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("names", [["synthetic"], ["hsk"], ["hsk", "hsk_transfer"]], ids="+".join)
def test_the_recipes_settings_parse(names: list[str]) -> None:
    recipe = load(ROOT / "recipes" / "zero_shot_words" / "run.py")
    folder = ROOT / "recipes" / "zero_shot_words" / "hparams"
    files = [word for name in names for word in ("--config", str(folder / f"{name}.yaml"))]
    source = ["--source", "model"] if len(names) > 1 else []
    seen: list[Any] = []
    assert recipe.script(recipe.Recipe, seen.append, [*files, *source, "--out", "x"]) == 0
    assert seen[0].corpus == names[0] and (seen[0].learn.model is None) == (len(names) > 1)
