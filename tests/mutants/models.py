"""Bugs of networks: lengths, padding, adapters that are not what their papers say, and exports of them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROOM = "asr_transfer/models"

MUTANTS = (
    Mutant(
        "frames-are-counted-short",
        f"{ROOM}/acoustic.py",
        "lengths = (lengths - 1) // stride + 1",
        "lengths = lengths // stride",
        "the last output frame of an utterance of odd length is taken for padding",
        ("tests/models/test_acoustic.py",),
    ),
    Mutant(
        "backward-lstm-begins-in-padding",
        f"{ROOM}/encoders.py",
        "torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)",
        "(x.shape[1] - 1 - position).expand(len(x), -1)",
        "what the backward LSTM hears depends on the batch that an utterance is in",
        ("tests/models/test_acoustic.py",),
    ),
    Mutant(
        "attention-hears-padding",
        f"{ROOM}/encoders.py",
        "key_padding_mask=~keep, need_weights=False",
        "key_padding_mask=None, need_weights=False",
        "a conformer attends to padding",
        ("tests/models/test_acoustic.py",),
    ),
    Mutant(
        "lhuc-by-another-formula",
        f"{ROOM}/adapters/lhuc.py",
        "hidden * (2 * torch.sigmoid(self.r))",
        "hidden * (1 + torch.tanh(self.r))",
        "LHUC scales by another function than its paper's, though it too starts as nothing",
        ("tests/models/test_adapters.py",),
    ),
    Mutant(
        "bottlenecks-start-as-something",
        f"{ROOM}/adapters/residual.py",
        "nn.init.zeros_(self.up)",
        "nn.init.normal_(self.up, std=1e-3, generator=generator)",
        "a residual adapter changes the model before it is trained",
        ("tests/models/test_adapters.py",),
    ),
    Mutant(
        "input-network-moves-padding",
        f"{ROOM}/adapters/input_network.py",
        "return x + moved * valid_frames(lengths, x.shape[1])[:, :, None], lengths",
        "return x + moved, lengths",
        "the linear input network's bias stands in the padding that the first convolution reads",
        ("tests/models/test_adapters.py",),
    ),
    Mutant(
        "columns-train-their-base",
        f"{ROOM}/progressive.py",
        "super().requires_grad_(requires_grad)\n        self.base.requires_grad_(False)",
        "super().requires_grad_(requires_grad)",
        "a frozen column is trained after an adaptation",
        ("tests/regressions/test_the_callers_model_stays_as_it_was.py",),
    ),
    Mutant(
        "products-of-eight-bits-are-cut-off",
        "asr_transfer/deployment/eight_bits.py",
        "(GREATEST - 1) / np.maximum(pairs, 1.0)",
        "GREATEST / np.maximum(pairs / 2, 1.0)",
        "an export hears something else on processors that add two products in sixteen bits",
        ("tests/deployment/test_eight_bits.py",),
    ),
)
