"""Models of shared phones through training, saving, learning and listening to a language that nobody trained."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.attributes import AttributeLayer, PhoneModel
from asr_transfer.training.hypotheses import hypotheses
from asr_transfer.training.phone_models import add_language, for_lexicon, make_phone_model, read_allophones
from asr_transfer.training.session import train_recogniser
from tests.small import MELS, different, snapshot
from tests.tones import make_speaker

needs_panphon = pytest.mark.skipif(importlib.util.find_spec("panphon") is None, reason="panphon is not installed")

FEATURES = FeatureConfig(mels=20)
NETWORK = ModelConfig("tdnn", layers=2, dim=48, channels=48, features=FEATURES, units="phones", dropout=0.0)
PHONES = {"a": "a", "b": "b", "c": "k", "d": "d", "e": "e", "f": "f"}
"""What each letter of the toy speech is."""


def _settings(outputs: Any, steps: int = 12, **changes: Any) -> SourceConfig:
    trainer = TrainerConfig(steps=steps, batch_budget=2500, validate_every=0, device="cpu", learning_rate=0.01)
    return SourceConfig(NETWORK, trainer, SpecAugmentConfig(1, 4, 1, 4), (1.0,), outputs=outputs, **changes)


def _said(utterance: Utterance, language: str) -> Utterance:
    phones = " ".join(PHONES[letter] for letter in utterance.text if letter != " ")
    return replace(utterance, language=language, pronunciation=phones)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Utterance]], FeatureStore]:
    """Return utterances of languages with the same sounds: `xa` has no words with f, `xb` none with b, `xc` all."""
    folder = tmp_path_factory.mktemp("phones")
    made: dict[str, list[Utterance]] = {}
    for seed, (name, missing) in enumerate((("xa", "f"), ("xb", "b"), ("xc", ""))):
        own = [_said(u, name) for u in make_speaker(folder, name, 1.0 + 0.01 * seed, 60, seed)]
        made[name] = [u for u in own if not missing or missing not in u.text]
    everything = [u for part in made.values() for u in part]
    return made, build_store(everything, FEATURES, (1.0,), tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def trained(spoken: Any) -> Recogniser:
    """Return a recogniser by plain phones of two languages that has learnt them."""
    made, store = spoken
    return train_recogniser(Spoken(made["xa"] + made["xb"], store), Spoken([], store), _settings("phones", 100))[0]


def _tokens(**phones: str) -> dict[str, Tokens]:
    return {language: Tokens(listed.split(), "phones") for language, listed in phones.items()}


def _tiny(seed: int = 0) -> ModelConfig:
    torch.manual_seed(seed)
    return ModelConfig("tdnn", 1, 8, 8, (2, 1), 0.0, FeatureConfig(mels=MELS), "phones")


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    frames = torch.full((len(logits),), logits.shape[1])
    sizes = torch.full((len(logits),), targets.shape[1])
    return torch.nn.functional.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, frames, sizes)


@pytest.mark.parametrize("outputs", ["phones", pytest.param("attributes", marks=needs_panphon)])
def test_a_languages_loss_is_plain_ctc_of_its_own_rows(outputs: Any) -> None:
    tokens = _tokens(de="a t ʃ", fr="a ʒ")
    model = make_phone_model(_tiny(), tokens, outputs).double()
    assert set(model.inventory.phones) == {"a", "t", "ʃ", "ʒ"} and model.inventory.phones[0] == "a"
    hidden, _ = model(torch.randn(2, 20, MELS, dtype=torch.float64), torch.tensor([20, 20]))
    targets = torch.tensor([[1, 2], [3, 1]])
    rows = [0, *(1 + model.inventory.phones.index(phone) for phone in "atʃ")]
    wanted, found = _loss(model.phones(hidden)[..., rows], targets), _loss(model.head("de")(hidden), targets)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-12)
    for one, other in zip(
        torch.autograd.grad(wanted, list(model.phones.parameters()), retain_graph=True),
        torch.autograd.grad(found, list(model.phones.parameters())),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-12)


@needs_panphon
def test_an_unseen_phone_has_the_logit_of_its_signature() -> None:
    from asr_transfer.data.phones import signatures

    tokens = _tokens(de="a t d k s")
    source = Recogniser(make_phone_model(_tiny(), tokens, "attributes").double().eval(), tokens["de"], "de", {})
    wider = add_language(source, "fr", Tokens(["z", "a"], "phones"))
    assert isinstance(wider.model, PhoneModel) and set(wider.others) == {"de"} and list(source.model.heads) == ["de"]
    hidden, _ = wider.model(torch.randn(2, 20, MELS, dtype=torch.float64), torch.tensor([20, 20]))
    layer = wider.model.phones
    assert isinstance(layer, AttributeLayer)
    size = abs(signatures(wider.model.inventory.phones)).sum(1).mean() ** 0.5
    wanted = layer.attributes(hidden) @ torch.tensor(signatures(["z"])[0], dtype=torch.float64) / size
    assert torch.allclose(wider.model.head("fr")(hidden)[..., 1], wanted, atol=1e-6)
    assert not different(snapshot(source.model), snapshot(wider.model))


@needs_panphon
def test_a_plain_unseen_phone_begins_as_its_nearest() -> None:
    tokens = _tokens(es="a e i o u r ɾ s t", it="a ʃ")
    source = Recogniser(make_phone_model(_tiny(), tokens, "phones").eval(), tokens["es"], "es", {})
    wider = add_language(source, "de", Tokens(["ɪ", "t", "i"], "phones"))
    assert isinstance(wider.model, PhoneModel) and wider.model.inventory.phones[-1] == "ɪ"
    hidden, _ = wider.model(torch.randn(1, 20, MELS), torch.tensor([20]))
    logits = wider.model.head("de")(hidden)
    assert torch.allclose(logits[..., 1], logits[..., 3], atol=1e-6)
    assert not torch.allclose(logits[..., 1], logits[..., 2], atol=1e-2)
    for head in ("es", "it"):
        assert torch.allclose(source.model.head(head)(hidden), wider.model.head(head)(hidden), atol=1e-6)


@needs_panphon
def test_phones_of_equal_features_are_one_as_most_languages_write_it() -> None:
    model = make_phone_model(_tiny(), _tokens(cs="c a", el="c", pl="kʲ a"), "attributes")
    assert sorted(model.inventory.phones) == ["a", "c"]
    assert model.table("pl") == {"kʲ": ("c",), "a": ("a",)}
    assert "kʲ" in make_phone_model(_tiny(), _tokens(cs="c a", pl="kʲ a"), "phones").inventory.phones
    with pytest.raises(ConfigError, match="the phonemes 'c' and 'kʲ' of 'xx' are the same phones to the model"):
        make_phone_model(_tiny(), _tokens(xx="c kʲ"), "attributes")


def test_allophones_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "allophones.yaml"
    file.write_text("de: {r: [ʁ, ɾ]}\n", encoding="utf-8")
    tokens = _tokens(de="a r", es="a ɾ")
    model = make_phone_model(_tiny(), tokens, "phones", read_allophones(file))
    assert set(model.inventory.phones) == {"a", "ʁ", "ɾ"} and model.table("de")["r"] == ("ʁ", "ɾ")
    # What a head has is kept where phones are added to it.
    kept = add_language(Recogniser(model, tokens["de"], "de", {}), "de", Tokens(["r", "a", "ɾ"], "phones"))
    assert isinstance(kept.model, PhoneModel)
    assert kept.model.table("de") == {"r": ("ʁ", "ɾ"), "a": ("a",), "ɾ": ("ɾ",)}
    for text, message in (
        ("de: [r]\n", "holds no allophones; write by language"),
        ("de: {r: []}\n", "holds no allophones"),
        ("a: b: c\n", "cannot be read as YAML"),
        ("fr: {r: [ʁ]}\n", "name the language 'fr', which is not trained"),
        ("de: {x: [ʁ]}\n", "name the phoneme 'x', which its pronunciations lack"),
        ("es: {a: [ɾ]}\n", "the phonemes 'a' and 'ɾ' of 'es' are the same phones"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            make_phone_model(_tiny(), tokens, "phones", read_allophones(file))
        assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match="there is no such file"):
        read_allophones(tmp_path / "none.yaml")


def test_settings_that_do_not_fit_are_refused(spoken: Any) -> None:
    made, store = spoken
    for changes, message in (
        ({"outputs": "phone"}, "`outputs` is 'phone'. Did you mean 'phones'"),
        ({"outputs": "phones", "model": replace(NETWORK, units="characters")}, "but `model.units` is characters"),
        ({"outputs": "phones", "units_of": {"xa": "words"}}, "but `units_of` is words"),
        ({"allophones": Path("a.yaml")}, "`allophones` belong to a shared layer of phones"),
    ):
        with pytest.raises(ConfigError, match=message):
            SourceConfig(**{"model": NETWORK, **changes})
    with pytest.raises(ConfigError, match="has no parts of single languages"):
        train_recogniser(Spoken(made["xa"], store), Spoken([], store), _settings("phones"), make_model=lambda *_: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match="'xq' has no articulatory features|'xq' is no single phone"):
        make_phone_model(_tiny(), _tokens(xx="a xq"), "attributes")
    heads, _, _ = train_recogniser(Spoken(made["xa"], store), Spoken([], store), _settings("heads", 1))
    with pytest.raises(ConfigError, match="the model has an output layer per language"):
        add_language(heads, "de", Tokens(["a"], "phones"))
    with pytest.raises(ConfigError, match="the model emits phones, not characters"):
        add_language(heads, "de", Tokens(["a"]))


def test_two_languages_are_trained_together_and_kept(spoken: Any, trained: Recogniser, tmp_path: Path) -> None:
    made, store = spoken
    assert isinstance(trained.model, PhoneModel) and set(trained.model.inventory.phones) == set(PHONES.values())
    assert "f" not in trained.model.table("xa") and "b" not in trained.model.table("xb")
    heard = hypotheses(trained, Spoken(made["xa"] + made["xb"], store), by_head=True)
    assert sum(h.hypothesis == h.reference for h in heard) / len(heard) > 0.8  # measured: 1
    trained.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model", "xb")
    assert not different(snapshot(trained.model), snapshot(again.model))
    assert again.tokens == trained.others["xb"] and hypotheses(again, Spoken(made["xb"], store), True) == [
        h for h in heard if h.language == "xb"
    ]


@needs_panphon
def test_a_language_is_heard_through_its_lexicon_without_training(
    spoken: Any, trained: Recogniser, tmp_path: Path
) -> None:
    made, store = spoken
    single = [u for u in made["xc"] if " " not in u.text]
    words = sorted({u.text for u in single})
    lexicon = Lexicon([Entry(word, tuple(PHONES[letter] for letter in word)) for word in words])
    listener, changed = for_lexicon(trained, "xc", lexicon)
    assert changed == 0 and {"f", "b"} <= set(listener.tokens.symbols)  # neither language has both
    right = [h.hypothesis == h.reference for h in hypotheses(listener, Spoken(single, store))]
    assert len(words) > 5 and sum(right) / len(right) > 0.8
    listener.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model", "xc")
    assert [h.hypothesis for h in hypotheses(again, Spoken(single, store))] == [
        h.hypothesis for h in hypotheses(listener, Spoken(single, store))
    ]


@needs_panphon
@pytest.mark.parametrize("outputs", ["phones", "attributes"])
def test_phones_that_the_model_lacks_are_rewritten_or_scored(outputs: Any) -> None:
    tokens = _tokens(es="a i t s r", cs="c")
    source = Recogniser(make_phone_model(_tiny(), tokens, outputs).eval(), tokens["es"], "es", {})
    lexicon = Lexicon([Entry("Tier", tuple("tɪr")), Entry("tir", tuple("tir")), Entry("ki", ("kʲ", "i"))])
    listener, changed = for_lexicon(source, "de", lexicon)
    assert listener.lexicon is not None
    spelt = {entry.word: "".join(entry.phones) for entry in listener.lexicon}
    assert spelt["ki"] == "ci" and spelt["tir"] == "tir"  # equal in features
    assert (spelt["Tier"], changed) == (("tɪr", 1) if outputs == "attributes" else ("tir", 2))
    assert listener.head == "de" and set(listener.others) == {"es"} and list(source.model.heads) == ["es", "cs"]


@pytest.mark.parametrize("outputs", ["phones", pytest.param("attributes", marks=needs_panphon)])
@pytest.mark.parametrize("mode", ["all", "head", "gradual"])
def test_a_further_language_is_learnt_on_the_shared_layer(spoken: Any, mode: Any, outputs: Any) -> None:
    made, store = spoken
    source = train_recogniser(Spoken(made["xa"], store), Spoken([], store), _settings(outputs, 2))[0]
    trainer = TrainerConfig(steps=6, batch_budget=1500, validate_every=0, device="cpu", learning_rate=0.01)
    config = LanguageConfig(mode, "phones", trainer, None, (1.0,))
    if importlib.util.find_spec("panphon") is None:
        pytest.skip("panphon is not installed")
    before = snapshot(source.model)
    learnt = learn_language(source, Spoken(made["xb"], store), Spoken([], store), config)
    after, heard = snapshot(learnt.recogniser.model), learnt.recogniser
    assert isinstance(heard.model, PhoneModel) and set(heard.model.heads) == {"xa", "xb"} and heard.head == "xb"
    assert "f" in heard.model.inventory.phones and not different(before, snapshot(source.model))
    common = {name: after[name][: len(old)] if old.dim() else after[name] for name, old in before.items()}
    moved = different(before, common)
    assert any(name.startswith("phones.") for name in moved)
    assert (mode == "head") == all(name.startswith("phones.") for name in moved)
    data = Spoken(made["xb"], store)
    assert len(heard.listen(data)) == len(made["xb"])
