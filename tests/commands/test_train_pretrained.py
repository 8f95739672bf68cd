"""A source model is trained on a pretrained encoder: by default that stays as it is, and runs once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.config import ModelConfig, SourceConfig
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.models.pretrained.door import open_pretrained
from tests.adapting import run
from tests.learning import manifest, speech
from tests.models.pretrained.ctc_folders import write
from tests.models.pretrained.published import whisper_folder

SHORT = ("--trainer.steps", 3, "--trainer.batch_budget", 600, "--trainer.device", "cpu", "--trainer.precision", "fp32",
         "--speeds", "[1.0]", "--model.top.layers", 1, "--model.top.dim", 6)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small Whisper, `whisper`, and speech of two languages, `train.jsonl`."""
    made = tmp_path_factory.mktemp("pretrained")
    whisper_folder(made / "whisper")
    manifest(made / "train.jsonl", [u for name in ("de", "fr") for u in speech(made / "wav", name, 2, 4)])
    return made


def _moved(folder: Path, out: Path, *options: object) -> set[str]:
    """Train, and return which parts of the encoder are others afterwards."""
    words = ("--train", folder / "train.jsonl", "--model.pretrained", folder / "whisper", "--out", out)
    assert run("train", *words, *SHORT, *options) == 0
    after = Recogniser.load(out, "fr").model
    assert after.head_names() == ["de", "fr"] and after.untrained() == []
    assert Recogniser.load(out, "fr").origin["base_model"] == {"name": "whisper", "licence": "not told"}
    assert "Base model: whisper; licence: not told" in (out / "model" / "README.md").read_text()
    assert {n for n, p in after.named_parameters() if not p.requires_grad} == {"front.positions"}
    before = open_pretrained(folder / "whisper", "ctc").model.state_dict()
    names = [n for n in before if not n.startswith("top")]
    return {n.split(".")[0] for n in names if not torch.equal(before[n], after.state_dict()[n])}


def test_the_encoder_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    assert _moved(folder, tmp_path / "out") == set()
    assert Recogniser.load(tmp_path / "out", "de").model.describe()["top"] == {
        "layers": 1,
        "dim": 6,
        "dropout": 0.4,
        "joined": 2,
        "least_seconds": 0.0,
    }


def test_the_encoder_follows_at_a_rate_of_its_own(folder: Path, tmp_path: Path) -> None:
    assert _moved(folder, tmp_path / "out", "--model.pretrained_rate", 0.01) == {"front", "encoder", "norm"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"layers": 2},
            "`model.layers` describes a network of one's own, in whose place `model.pretrained`",
        ),
        ({"dropout": 0.3}, "`model.dropout` describes a network of one's own"),
    ],
)
def test_sizes_of_another_network_are_refused_beside_it(given: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ModelConfig(pretrained=Path("whisper"), **given)  # type: ignore[arg-type]


def test_a_rate_of_the_encoder_needs_one() -> None:
    with pytest.raises(ConfigError, match="`model.pretrained_rate` needs a pretrained encoder; give `model.pretr"):
        ModelConfig(pretrained_rate=0.1)


def test_layers_of_phones_need_a_network_of_ones_own() -> None:
    model = ModelConfig(pretrained=Path("whisper"), units="phones")
    with pytest.raises(ConfigError, match="`outputs` phones needs a network of one's own; leave"):
        SourceConfig(model=model, outputs="phones")


def test_a_published_head_that_is_left_out_is_told_with_the_new_ones(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "w2v", "wav2vec2", ["<pad>", "<unk>", "|", *"abcdef"], pad_token_id=0)
    words = ("--train", folder / "train.jsonl", "--model.pretrained", tmp_path / "w2v", "--out", tmp_path / "out")
    assert run("train", *words, *SHORT[:-4]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("vocabulary: "))
    assert "the published head 'main' of 8 rows is left out; new: 'de' of " in line and "'fr' of " in line
