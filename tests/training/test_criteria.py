"""The next token's loss is Transformers' own, over what follows the prompt alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.data.batching import Batch
from asr_transfer.models.pretrained.door import open_pretrained
from asr_transfer.training.criteria import next_token
from asr_transfer.training.forward import run, run_together
from asr_transfer.training.streams import Task
from tests.models.pretrained.whole_whisper import features, write_whisper


def test_the_next_tokens_loss_is_that_of_transformers_over_the_texts(tmp_path: Path) -> None:
    theirs = write_whisper(tmp_path / "published", 2)
    found = open_pretrained(tmp_path / "published")
    targets = [found.tokens["text"].targets(text, "cs") for text in ("ab", "abcdef", "c")]
    batch = Batch(
        torch.arange(3),
        features(3, 2),
        torch.nn.utils.rnn.pad_sequence([torch.tensor(target) for target in targets], batch_first=True),
        torch.full((3,), 200),
        torch.tensor([len(target) for target in targets]),
    )
    task = Task("speaker", None, next_token, head="text")  # type: ignore[arg-type]
    with torch.no_grad():
        loss, count = next_token(run(found.model, task, batch))
        expected = 0.0
        for number, target in enumerate(targets):
            labels = torch.tensor([[-100] * 3 + target[4:]])  # nothing foretells the prompt
            made = theirs(
                input_features=batch.inputs[number : number + 1].transpose(1, 2),
                decoder_input_ids=torch.tensor([target[:-1]]),
                labels=labels,
            )
            expected += float(made.loss) * (len(target) - 4)
    assert int(count) == sum(len(target) - 4 for target in targets)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_streams_together_give_what_each_gives_alone(tmp_path: Path) -> None:
    write_whisper(tmp_path / "published", 2)
    found = open_pretrained(tmp_path / "published")
    target = torch.tensor([found.tokens["text"].targets("abc", "en")])
    task = Task("speaker", None, next_token, head="text")  # type: ignore[arg-type]
    batches = [
        Batch(torch.arange(1), features(1, seed), target[:, :long], torch.tensor([200]), torch.tensor([long]))
        for seed, long in ((0, target.shape[1]), (1, target.shape[1] - 2))
    ]
    with torch.no_grad():
        parts = {str(number): (task, batch) for number, batch in enumerate(batches)}
        together = run_together(found.model, parts, {"0": (), "1": ()})
        for number, batch in enumerate(batches):
            alone = run(found.model, task, batch)
            assert int(together[str(number)].count()) == int(alone.count())
            assert torch.allclose(together[str(number)].require_logits(), alone.require_logits(), atol=1e-3)
