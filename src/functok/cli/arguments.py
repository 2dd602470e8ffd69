"""Arguments that several commands share."""

import inspect
from collections.abc import Callable, Container
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from functok.runtime.errors import UserError
from functok.runtime.paths import folder_name, user_path
from functok.runtime.sizes import in_bytes
from functok.study.resources import Resources


def there(target: Path | None) -> Path | None:
    """Refuse what is not there before anything heavy is imported; known studies go by name."""
    from functok.studies import studies, study_file

    if target is None:
        return None
    target = user_path(target)
    if not target.exists() and str(target) in studies():
        return study_file(str(target))
    if not target.exists():
        raise UserError(f"There is no run folder and no study file at {target}; check the path.")
    return target


def located(name: str | None) -> str | None:
    """Where the model called ``name`` lies, if functok gets its weights by that name."""
    from functok.weights.cache import located

    return None if name is None else located(name)


def factor_of(text: str | None) -> float | str | None:
    """A norm factor as it was typed: a positive number, or ``auto``."""
    if text is None or text == "auto":
        return text
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UserError(f"--norm-factor {text!r} is neither a positive number nor auto.")
    return factor


Target = Annotated[
    Path,
    typer.Argument(help="A run folder, or a study file (.yaml).", callback=there),
]
OptionalTarget = Annotated[
    Path | None,
    typer.Argument(
        help="A run folder, or a study file (.yaml); may be omitted.",
        callback=there,
    ),
]
Prompt = Annotated[list[str] | None, typer.Option(help="A prompt. Repeatable.")]
Chat = Annotated[
    bool,
    typer.Option("--chat", help="Render prompts as a user turn with the chat template."),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        help="A causal LM: Hugging Face folder, GGUF file, name on the hub, or name from functok "
        "models list.",
        callback=located,
    ),
]
Revision = Annotated[str | None, typer.Option(help="Revision of a model on the hub.")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"] | None,
    typer.Option(help="Data type of the model; default: its own, or float32 for steering."),
]
SaeName = Annotated[
    str | None,
    typer.Option(
        help="A published SAE: its folder or file (docs/graph.md), or release/sae_id. With a run "
        "or a study: the name of one of its SAEs; default: the first."
    ),
]
SaeOfRun = Annotated[
    str | None,
    typer.Option("--sae", help="Name of one of the study's SAEs; default: the first, or all."),
]
Layer = Annotated[int | None, typer.Option(help="Decoder layer, from 0; default: the SAE's own.")]
Site = Annotated[
    str | None,
    typer.Option(
        help="Site that the SAE was trained on, if its folder does not name one: resid_post, "
        "resid_pre, resid_mid, attn_out, mlp_out, mlp_in or z."
    ),
]
NormFactor = Annotated[
    str | None,
    typer.Option(
        "--norm-factor",
        metavar="auto|NUMBER",
        help="Factor by which the SAE's inputs were scaled in training; auto measures it on a "
        "probe; default: from the SAE's files.",
    ),
]
RowStartName = Annotated[
    str | None,
    typer.Option(
        "--row-start",
        help="Token that every row starts with, or none; default: what preceded documents in "
        "training, as estimated on a probe.",
    ),
]
TokenizerName = Annotated[str | None, typer.Option(help="Tokenizer; default: the model's own.")]
FunctionTokensFolder = Annotated[
    Path | None,
    typer.Option(
        help="Run folder of functok tokens whose function tokens are used; default: "
        "closed-class words, punctuation and whitespace."
    ),
]
Documents = Annotated[
    int | None, typer.Option(min=1, help="Maximum number of documents, sampled by hash.")
]
MaxTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Maximum number of tokens, spread over documents sampled by hash."),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Run folder; default: under runs/.")
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Recompute what depends on settings that differ from the run folder's."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting of the study file, such as graph.tokens=30000. Repeatable.",
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Number of worker processes.")]
AllowPython = Annotated[
    list[str] | None,
    typer.Option(help="Allow the study to run this Python file. Repeatable."),
]
Address = Annotated[
    str | None, typer.Option(help="Address of a running Ray cluster: auto, or host:port.")
]

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where shards run: on this machine, or on a Ray cluster."),
]

Device = Annotated[
    str,
    typer.Option(
        help="Device of the model: auto, cpu, cuda, cuda:1 or mps. auto uses an accelerator if "
        "torch finds one; with cuda, a large model is spread over all GPUs."
    ),
]
SaeDevice = Annotated[str | None, typer.Option(help="Device of the SAEs; default: the model's.")]
Memory = Annotated[
    str,
    typer.Option(help="Memory for graphs and losses, on top of the weights: 512m, 2g."),
]


def with_options(
    command: Callable[..., None], parameter: str, options: type, without: Container[str] = ()
) -> Callable[..., None]:
    """``command`` with several options on the command line in place of one parameter.

    Args:
        parameter: which they replace.
        options: a named tuple: their names, types and defaults.
        without: names of those that the command does not have.
    """
    given = inspect.signature(options).parameters.values()
    own = [one for one in given if one.name not in without]

    def whole(**values: Any) -> None:
        values[parameter] = options(**{one.name: values.pop(one.name) for one in own})
        command(**values)

    known = inspect.signature(command, eval_str=True)
    parameters = [one for one in known.parameters.values() if one.name != parameter]
    parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    whole.__name__, whole.__doc__ = command.__name__, command.__doc__
    whole.__signature__ = known.replace(parameters=parameters)  # type: ignore[attr-defined]
    whole.__annotations__ = {one.name: one.annotation for one in parameters}
    return whole


class RunOptions(NamedTuple):
    """Which SAE of a run is meant, where the run lies, and where its work is done."""

    sae: SaeOfRun = None
    output: Output = None
    replace: Replace = False
    workers: Workers = 1
    allow_python: AllowPython = None
    device: Device = "auto"
    sae_device: SaeDevice = None
    memory: Memory = "2g"

    @property
    def resources(self) -> Resources:
        """Where the work is done."""
        return Resources(
            device=self.device,
            sae_device=self.sae_device,
            memory=in_bytes(self.memory, "--memory"),
            workers=self.workers,
            python=tuple(self.allow_python or ()),
        )


def run_options(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of ``RunOptions`` in place of its parameter ``options``.

    Args:
        without: names of those that the command does not have.
    """
    return lambda command: with_options(command, "options", RunOptions, without)


def short_name(*parts: str) -> str:
    """A name for a run folder, from the names of a corpus, a model or a tokenizer."""
    stems = []
    for part in parts:
        path = Path(part.split("?")[0])
        stems.append(path.parent.name if path.name == "tokenizer.json" else path.name)
    return folder_name("-".join(stems))
