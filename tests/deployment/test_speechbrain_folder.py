"""What is written for SpeechBrain transcribes there as the model itself does, whatever its layers and tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from speechbrain.inference.ASR import EncoderASR

from asr_transfer.config import ModelConfig
from asr_transfer.data.subwords import MARK, subwords_of
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.deployment import ExportOptions, Source, export
from asr_transfer.deployment.sounds import sounds
from asr_transfer.errors import ConfigError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.contract import SpeechModel
from tests.deployment import sources
from tests.models.pretrained.published import random_encoder

PLAIN = ExportOptions()
PIECES = [(MARK + "a", -1.0), ("b", -2.0), ("a", -2.5), ("'", -1.5), (MARK, -3.0)]
TOKENS = {
    "letters": Tokens(["a", " ", "<", "'", "\\"]),
    "phones": Tokens(["AH0", "B", "tʃ"], "phones"),
    "pieces": Tokens([piece for piece, _ in PIECES], "subwords", subwords_of(PIECES)),
}


def _source(model: SpeechModel, tokens: Tokens, folder: Path) -> Source:
    with torch.no_grad():
        head = model.head("en")
        head.weight.mul_(20)  # type: ignore[operator, union-attr]  # so that something is heard
    return Source(Recogniser(model.eval(), tokens, "en", {}), "model", folder)


def _acoustic(encoder: str, tokens: int) -> SpeechModel:
    torch.manual_seed(3)
    return AcousticModel(ModelConfig(encoder=encoder, dim=16, layers=2), {"en": tokens})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("encoder", "kind"), [("tdnn", "letters"), ("bilstm", "pieces"), ("conformer", "phones"), ("conformer", "letters")]
)
def test_our_own_models_give_the_same_texts(encoder: str, kind: str, tmp_path: Path) -> None:
    source = _source(_acoustic(encoder, len(TOKENS[kind])), TOKENS[kind], tmp_path)
    done = export(source, "speechbrain", tmp_path / "out", PLAIN)
    assert (done.check["sounds"], done.check["equal texts"]) == (3, 3)


def test_published_encoders_and_adapters_go_with_it(tmp_path: Path) -> None:
    source = sources.ctc(tmp_path / "ctc")
    add_adapter(source.recogniser.model, AdapterSpec("lhuc"))
    with torch.no_grad():
        for parameter in source.recogniser.model.adapters.parameters():  # type: ignore[operator, union-attr]
            parameter.add_(0.5)
    for name, own in (("ctc", source), ("whisper", _source(random_encoder({"en": 6}), TOKENS["letters"], tmp_path))):
        assert export(own, "speechbrain", tmp_path / name / "out", PLAIN).check["equal texts"] == 3


def test_recordings_of_a_batch_are_heard_to_their_own_ends(tmp_path: Path) -> None:
    source = _source(_acoustic("bilstm", 6), TOKENS["letters"], tmp_path)
    export(source, "speechbrain", tmp_path / "out", PLAIN)
    theirs = EncoderASR.from_hparams(str(tmp_path / "out"), savedir=str(tmp_path / "cache"))
    short, _, long = sounds()
    batch = torch.nn.utils.rnn.pad_sequence([short, long], batch_first=True)
    lengths = torch.tensor([len(short) / len(long), 1.0])
    alone = [theirs.encode_batch(one[None], torch.ones(1))[0] for one in (short, long)]
    for row, own in zip(theirs.encode_batch(batch, lengths), alone, strict=True):
        torch.testing.assert_close(row[: len(own)], own, rtol=0, atol=1e-3)
        assert (row[len(own) :].argmax(-1) == 0).all()


def test_a_model_that_writes_token_after_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="EncoderASR decodes by CTC.*give --to transformers"):
        export(sources.whisper(tmp_path / "whisper"), "speechbrain", tmp_path / "out", PLAIN)
