"""A small Whisper with random weights, as Transformers publishes one: encoder, decoder and tokenizer in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

SECONDS = 2
"""Window of the model."""
MARKS = ("endoftext", "startoftranscript", "en", "zh", "cs", "translate", "transcribe", "nospeech", "notimestamps")
FIRST_MARK = 256
"""Tokens below are bytes."""


def mark(name: str) -> int:
    """Return the token of a mark."""
    return FIRST_MARK + MARKS.index(name)


def write_whisper(folder: Path, seed: int = 0, **config: Any) -> Any:
    """Write the folder, and return Transformers' own model of it in evaluation mode."""
    transformers = pytest.importorskip("transformers")
    marks = {name: mark(name) for name in MARKS}
    usual = dict(
        vocab_size=FIRST_MARK + len(MARKS), num_mel_bins=80, d_model=16, encoder_layers=2, encoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=24,
        max_source_positions=50 * SECONDS, max_target_positions=64, pad_token_id=marks["endoftext"],
        bos_token_id=marks["endoftext"], eos_token_id=marks["endoftext"],
        decoder_start_token_id=marks["startoftranscript"], suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    made = transformers.WhisperConfig(**{**usual, **config})
    torch.manual_seed(seed)
    model = transformers.WhisperForConditionalGeneration(made).eval()
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if name.startswith(("decoder", "encoder.conv")):
                parameter.mul_(30 if "encoder_attn." in name else 8)  # so that texts differ
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=marks["startoftranscript"], eos_token_id=marks["endoftext"],
        pad_token_id=marks["endoftext"], bos_token_id=marks["endoftext"], is_multilingual=True, max_length=64,
        lang_to_id={f"<|{code}|>": marks[code] for code in ("en", "zh", "cs")},
        task_to_id={name: marks[name] for name in ("translate", "transcribe")},
        no_timestamps_token_id=marks["notimestamps"], suppress_tokens=[*range(40), *sorted(marks.values())[1:]],
        begin_suppress_tokens=[ord(" "), marks["endoftext"]],
    )  # fmt: skip
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer())
    return model


def tokenizer() -> str:
    """Return the text of a tokenizer of single bytes and the marks."""
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(tokenizers.models.BPE({symbol: n for n, symbol in enumerate(alphabet)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens([f"<|{name}|>" for name in MARKS])
    text: str = made.to_str()
    return text


def features(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return random features of so many windows."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 80, generator=random).to(dtype) * 2 + torch.randn(
        count, 100 * SECONDS, 80, generator=random
    ).to(dtype)
