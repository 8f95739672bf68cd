"""Writes folders of Transformers' CTC models: weights, config, features and tokenizer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import torch

from asr_transfer import audio
from asr_transfer.data.inputs import LasrMel, ParakeetMel, Waveform
from asr_transfer.data.subwords import MARK
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.decoding.greedy import greedy
from asr_transfer.deployment.libraries import library, quiet
from asr_transfer.deployment.peft_folder import with_adapters
from asr_transfer.deployment.sounds import SECONDS, sounds
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import Report
from asr_transfer.errors import ModelError
from asr_transfer.models.adapters import adapter_specs
from asr_transfer.models.pretrained.ctc_parts import UTTERANCE_NORM
from asr_transfer.models.pretrained.ctc_writing import BLANK, published_model
from asr_transfer.models.pretrained.transformers_ctc import TransformersCtc
from asr_transfer.plain import to_json
from asr_transfer.textfiles import write_text

PAD, UNKNOWN = "<pad>", "<unk>"
"""Names of the blank and of what is no token; the latter has no row of the head."""

DELIMITER = "|"
"""Symbol that stands for the space in `vocab.json`; Transformers reads no other."""

_PIECED = ("omniasr_ctc", "parakeet_ctc", "lasr_ctc")
"""Families whose tokenizers are fast ones, `tokenizer.json`."""


def ctc_refusal(source: Source) -> str | None:
    """Return why Transformers has no class for a CTC model, as what follows "because "; None where it has."""
    model, tokens = source.recogniser.model, source.recogniser.tokens
    if not isinstance(model, TransformersCtc):
        return (
            "it takes Whisper and the CTC models of Transformers, and this is a "
            f"{type(model).__name__}, which has layers of its own"
        )
    if specs := adapter_specs(model):
        return f"the adapter {specs[0]} cannot be folded into the weights, and it has no place for it"
    if model.plain.get(UTTERANCE_NORM):
        return "its outputs are normalised over the recording, as SpeechBrain's are, which Transformers does not do"
    if tokens.units == "words":
        return "its tokens are whole words, which no tokenizer of its CTC models writes spaces between"
    if tokens.model is None and not _is_listed(tokens, str(model.plain["model_type"])) and MARK in tokens.symbols:
        return f"{MARK}, which is one of its tokens, stands for the space there"
    return None


def write_ctc(source: Source, folder: Path, fp16: bool = False) -> list[str]:
    """Write the folder.

    Args:
        source: model on its way out.
        folder: empty folder.
        fp16: whether weights are floating-point numbers of sixteen bits.

    Returns:
        Sentences on what stays behind.
    """
    recogniser = source.recogniser
    model = cast(TransformersCtc, recogniser.model)
    made = library("transformers", "pretrained", "transformers")
    with quiet(made):
        whole = published_model(model, recogniser.head)
        (whole.half() if fp16 else whole).save_pretrained(folder)
        _extractor(made, model).save_pretrained(folder)
    _write_tokens(folder, recogniser.tokens, str(model.plain["model_type"]))
    if recogniser.lexicon is not None:
        return ["its lexicon stays behind: Transformers writes what the tokens spell"]
    return []


def check_ctc(source: Source, folder: Path, adapters: Path, tolerance: float, least: int) -> Report:
    """Compare a folder in Transformers with the model, on generated sounds.

    Args:
        source: model on its way out.
        folder: folder that was written.
        adapters: folder of adapters to put on it; `folder` itself for none.
        tolerance: greatest difference of two logits, as a share of the greatest.
        least: number of texts that must be equal.

    Raises:
        ModelError: it recognises otherwise.
    """
    made = library("transformers", "pretrained", "transformers")
    with quiet(made), torch.no_grad():
        theirs = made.AutoModelForCTC.from_pretrained(folder, dtype=torch.float32)
        theirs = (theirs if adapters == folder else with_adapters(theirs, adapters)).eval()
        features = made.AutoFeatureExtractor.from_pretrained(folder)
        tokenizer = made.AutoTokenizer.from_pretrained(folder)
        worst, equal = 0.0, 0
        for sound in sounds(source.recogniser.model.window):
            given = features(sound.numpy(), sampling_rate=audio.SAMPLE_RATE, return_tensors="pt")
            found = theirs(**given).logits[0].float()
            mine, text = ctc_logits(source, sound)
            found = found[: len(mine)]
            worst = max(worst, float((found - mine).abs().max() / mine.abs().max()))
            equal += " ".join(tokenizer.decode(found.argmax(-1).tolist()).split()) == text
    return ctc_report("Transformers", len(SECONDS), equal, worst, tolerance, least)


@torch.no_grad()
def ctc_logits(source: Source, sound: torch.Tensor) -> tuple[torch.Tensor, str]:
    """Return what the model makes of a sound, (frames, tokens) logits and their greedy text."""
    recogniser = source.recogniser
    inputs = recogniser.model.inputs.compute(sound)
    logits, lengths = recogniser.logits(inputs[None], torch.tensor([len(inputs)]))
    text = recogniser.tokens.decode(greedy(logits, lengths, BLANK)[0])
    return logits[0, : int(lengths[0])].cpu(), text


def ctc_report(runtime: str, count: int, equal: int, worst: float, tolerance: float, least: int) -> Report:
    """Return what a comparison found.

    Args:
        runtime: program that was compared with.
        count: number of sounds.
        equal: number of them that gave the same text.
        worst: greatest difference of two outputs, as a share of the greatest.
        tolerance: greatest share that is rounding.
        least: number of texts that must be equal.

    Raises:
        ModelError: it recognises otherwise.
    """
    lines = [
        f"{equal} of {count} generated sounds gave the same text in {runtime} as in the model itself",
        f"no output differs by more than {worst:.1g} of the greatest",
    ]
    if not worst <= tolerance or equal < least:
        raise ModelError(
            f"what was written for {runtime} recognises otherwise than the model: {'; '.join(lines)}; the installed "
            "version of the library may compute otherwise than those that were tried."
        )
    check = {"sounds": count, "equal texts": equal, "greatest difference of an output": float(f"{worst:.2g}")}
    return Report(check, lines)


def _extractor(made: Any, model: TransformersCtc) -> Any:
    """Return the library's feature extractor of the model's inputs."""
    inputs, kind = model.inputs, model.plain["model_type"]
    if isinstance(inputs, ParakeetMel):
        return made.ParakeetFeatureExtractor(feature_size=inputs.mels, processor_class="ParakeetProcessor")
    if isinstance(inputs, LasrMel):
        return made.LasrFeatureExtractor(feature_size=inputs.mels, processor_class="LasrProcessor")
    assert isinstance(inputs, Waveform)
    if kind == "omniasr_ctc":
        return made.OmniASRFeatureExtractor()
    # Models with group norm were trained without the mask, and hear otherwise with it.
    masked = model.plain.get("feat_extract_norm") == "layer"
    return made.Wav2Vec2FeatureExtractor(
        do_normalize=inputs.normalised, return_attention_mask=masked, processor_class="Wav2Vec2Processor"
    )


def _write_tokens(folder: Path, tokens: Tokens, kind: str) -> None:
    """Write the tokenizer: `vocab.json` where a token is a letter or a phone, else a fast one."""
    special = {"pad_token": PAD, "unk_token": UNKNOWN, "bos_token": None, "eos_token": None}
    about: dict[str, Any] = {**special, "clean_up_tokenization_spaces": False}
    if _is_listed(tokens, kind):
        names = [PAD, *(DELIMITER if symbol == " " else symbol for symbol in tokens.symbols[1:])]
        _write(folder / "vocab.json", {name: index for index, name in enumerate(names)})
        if spells_phones(tokens.units):
            about |= {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer", "do_phonemize": False}
        else:
            about |= {"tokenizer_class": "Wav2Vec2CTCTokenizer", "word_delimiter_token": DELIMITER}
        about |= {"processor_class": "Wav2Vec2Processor"}
    else:
        _write(folder / "tokenizer.json", _fast(tokens))
        about |= {"tokenizer_class": "ParakeetTokenizer"}
    _write(folder / "tokenizer_config.json", about)


def _fast(tokens: Tokens) -> dict[str, Any]:
    """Return a fast tokenizer of subwords, or of letters as byte pairs without any pair."""
    names = [PAD, *(MARK if symbol == " " else symbol for symbol in tokens.symbols[1:])]
    model: dict[str, Any]
    if tokens.model is not None and not tokens.model.merges:
        scores = [score for _, score in tokens.model.listed()]
        model = {"type": "Unigram", "unk_id": 0, "vocab": [[n, s] for n, s in zip(names, scores, strict=True)]}
        model["byte_fallback"] = False
    else:
        vocabulary = {name: index for index, name in enumerate(names)}
        merges = [] if tokens.model is None else _merges(tokens.model.listed()[1:])
        model = {"type": "BPE", "unk_token": PAD, "fuse_unk": False, "byte_fallback": False}
        model |= {"dropout": None, "vocab": vocabulary, "merges": merges}
    scheme = "never" if tokens.model is None else "always"
    space = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": tokens.model is not None}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": BLANK, "content": PAD, **special}],
        "normalizer": None,
        "pre_tokenizer": space,
        "post_processor": None,
        "decoder": space,
        "model": model,
    }


def _merges(listed: list[tuple[str, float]]) -> list[list[str]]:
    """Return the pairs that byte-pair encoding merges, the first of them first, of pieces and their scores."""
    known = {piece for piece, _ in listed}
    found = []
    for piece, score in sorted(listed, key=lambda one: -one[1]):
        halves = ((piece[:place], piece[place:]) for place in range(1, len(piece)))
        pairs = [[left, right] for left, right in halves if left in known and right in known]
        found.append((score, pairs))
    return list(itertools.chain.from_iterable(pairs for _, pairs in found))


def _is_listed(tokens: Tokens, kind: str) -> bool:
    """Return whether the tokens stand in `vocab.json`, and not in a fast tokenizer."""
    if spells_phones(tokens.units):
        return True
    return tokens.model is None and kind not in _PIECED and DELIMITER not in tokens.symbols


def _write(file: Path, value: Any) -> None:
    write_text(file, to_json(value, 2) + "\n")
