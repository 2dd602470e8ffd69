"""A SentencePiece model (``tokenizer.model``) as a backend of ``tokenizers``.

transformers converts such a file by what it knows of a class: it guesses the prefix and how blanks
are kept, which the file itself says. So they are taken from there, and the result is compared with
SentencePiece's own ids on hostile texts. BPE models that take texts as they are (Llama, Mistral,
Gemma) give equal ids; ``tokenizers`` normalises some texts otherwise than SentencePiece, so models
with a table for that are refused.
"""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers
from tokenizers import Tokenizer as Backend

from functok.encoding.backend.check_texts import hostile_texts
from functok.runtime.errors import outside, require

BLANK = "▁"
_BPE = 2
_NORMAL, _USER_DEFINED = 1, 4


def sentencepiece_backend(file: Path, name: str) -> Backend:
    """The tokenizer in ``file``, which gives the ids of SentencePiece.

    Raises:
        UserError: if it cannot be read, or ``tokenizers`` cannot give its ids.
    """
    what = f"Tokenizer {name!r} has no tokenizer.json, and"
    advice = "give a folder that holds tokenizer.json"
    with outside(f"{what} {file.name} cannot be read", advice):
        from sentencepiece import SentencePieceProcessor
        from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore

        exact = SentencePieceProcessor(model_file=str(file))
        content = ModelProto()
        content.ParseFromString(file.read_bytes())
        trainer, normalizer = content.trainer_spec, content.normalizer_spec
        require(
            trainer.model_type == _BPE
            and not trainer.treat_whitespace_as_suffix
            and not normalizer.precompiled_charsmap,
            f"{what} {file.name} is not a BPE model of unnormalised text; {advice}.",
        )
        backend = _backend(content)
        texts = hostile_texts(backend)
        found = [encoding.ids for encoding in backend.encode_batch(texts, add_special_tokens=False)]
        differ = sum(one != other for one, other in zip(found, exact.encode(texts), strict=True))
    require(
        not differ,
        f"{what} tokenizers gives different ids from {file.name} on {differ} of {len(texts)} "
        f"texts; {advice}.",
    )
    return backend


def _backend(content: Any) -> Backend:
    spec = content.normalizer_spec
    pieces = [(piece.piece, piece.score, piece.type) for piece in content.pieces]
    backend = Backend(
        models.BPE(
            {piece: index for index, (piece, _, _) in enumerate(pieces)},
            _merges(pieces),
            unk_token=pieces[content.trainer_spec.unk_id][0],
            fuse_unk=True,
            byte_fallback=content.trainer_spec.byte_fallback,
        )
    )
    steps: list[Any] = []
    if spec.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex("^ +| +$"), ""))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(BLANK))
    steps.append(normalizers.Replace(" ", BLANK))
    backend.normalizer = normalizers.Sequence(steps)  # type: ignore[assignment]
    backend.decoder = decoders.Sequence(  # type: ignore[assignment]
        [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    # some are runs of blanks, found once blanks are marked, where no prefix would go before them
    marked = not spec.add_dummy_prefix
    whole = [piece for piece, _, kind in pieces if kind == _USER_DEFINED]
    backend.add_tokens([AddedToken(piece, normalized=marked) for piece in whole])
    return backend


def _merges(pieces: list[tuple[str, float, int]]) -> list[tuple[str, str]]:
    """Every pair of ordinary pieces that makes one, the best pieces first."""
    usual = {piece: score for piece, score, kind in pieces if kind == _NORMAL}
    return [
        (piece[:cut], piece[cut:])
        for piece in sorted(usual, key=lambda piece: -usual[piece])
        for cut in range(1, len(piece))
        if piece[:cut] in usual and piece[cut:] in usual
    ]
