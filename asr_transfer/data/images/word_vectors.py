"""Looks up the fetched word vectors: static vectors of word pieces, whose mean is that of a word.

WordLlama's, 256 numbers for each of 32,000 pieces, distilled from the embeddings of large language models. Nouns that
are one piece are served better than rare ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.fetched import fetched_images

_WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
_TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"


def word_vectors(words: Sequence[str]) -> torch.Tensor:
    """Return (words, 256) vectors of words or phrases: the means of their pieces' vectors.

    Args:
        words: Words, such as names of classes; for ImageNet's synonyms give one of them.

    Raises:
        DataError: The vectors were not fetched or are damaged, or a word is empty.
        ConfigError: The library `tokenizers` is not installed.
    """
    folder = fetched_images("word-vectors")
    empty = next((number for number, word in enumerate(words, start=1) if not word.strip()), None)
    if empty is not None:
        raise DataError(f"word {empty} of {len(words)} is empty, so that it has no vector; name it.")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ConfigError("`tokenizers` is not installed; install it with: pip install asr-transfer[images]") from None
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        (table,) = load_file(folder / _WEIGHTS).values()
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    except Exception as error:  # the tokenizer's own errors are of no class but this
        if not isinstance(error, OSError | SafetensorError | ValueError) and type(error) is not Exception:
            raise
        raise DataError(f"{folder}: is damaged ({error}); remove it and fetch it again.") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = []
    for word in words:
        pieces = tokenizer.encode(word, add_special_tokens=False).ids
        found.append(table[pieces].float().mean(0))
    return torch.stack(found)
