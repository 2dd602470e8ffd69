"""Arguments that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from functok.runtime.errors import UserError
from functok.runtime.paths import user_path


def _there(target: Path | None) -> Path | None:
    """Refuse what is not there before anything heavy is imported; known studies go by name."""
    from functok.studies import studies, study_file

    if target is None:
        return None
    target = user_path(target)
    if not target.exists() and str(target) in studies():
        return study_file(str(target))
    if not target.exists():
        raise UserError(f"There is no run folder and no study file {target}; check the path.")
    return target


Target = Annotated[
    Path,
    typer.Argument(
        help="A run folder, or a study file (.yaml), whose run is made.", callback=_there
    ),
]
OptionalTarget = Annotated[
    Path | None,
    typer.Argument(
        help="A run folder, or a study file (.yaml), whose run is made; may be omitted.",
        callback=_there,
    ),
]
Prompt = Annotated[list[str] | None, typer.Option(help="A prompt; repeatable.")]
Chat = Annotated[
    bool,
    typer.Option("--chat", help="Prompts are a user's turn: render them by the chat template."),
]
ModelName = Annotated[
    str | None, typer.Option(help="A causal LM: Hugging Face folder, or name on the hub.")
]
Revision = Annotated[str | None, typer.Option(help="Of a model on the hub.")]
SaeName = Annotated[
    str | None,
    typer.Option(help="Its SAE: SAELens or sparsify folder, params.npz, or release/sae_id."),
]
Layer = Annotated[
    int | None, typer.Option(help="Decoder layer, from 0; by default what the SAE says.")
]
Site = Annotated[
    str | None,
    typer.Option(
        help="What the SAE was trained on, where it does not say: resid_post, resid_pre, "
        "resid_mid, attn_out, mlp_out, mlp_in or z."
    ),
]
TokenizerName = Annotated[str | None, typer.Option(help="By default the model's own.")]
FunctionTokensFolder = Annotated[
    Path | None,
    typer.Option(
        help="A folder of functok tokens, whose function tokens are meant; by default closed-class "
        "words, punctuation and blanks."
    ),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Run folder; by default under runs/.")
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Where the run folder's study had other settings, compute again."
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes that work on shards in parallel.")]
AllowPython = Annotated[
    list[str] | None,
    typer.Option(help="Run this Python file where the study asks for it (repeatable)."),
]
Address = Annotated[str | None, typer.Option(help="Of a running Ray cluster: auto, or host:port.")]


class Engines(StrEnum):
    local = "local"
    ray = "ray"


Engine = Annotated[Engines, typer.Option(help="Where shards run.")]


def short_name(*parts: str) -> str:
    """A name for a run folder, from the names of a corpus, a model or a tokenizer."""
    import re

    stems = []
    for part in parts:
        path = Path(part.split("?")[0])
        stems.append(path.parent.name if path.name == "tokenizer.json" else path.name)
    return re.sub(r"[^\w.-]+", "-", "-".join(stems)).strip("-.")
