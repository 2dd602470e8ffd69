"""A study so small that it runs in seconds: its corpus, its settings, and the means to run it.

Nothing here is a test. ``tests/conftest.py`` makes the fixtures from it.
"""

import io
import json
import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import yaml

SIMULATED = 2
"""Samples of the power law's test of fit, which would take most of the time of a tiny graph."""

_NAMES = re.findall(r"\w+", "Ada Ben Cleo Dan Eve Finn Gus Hal Ida Jon Kit Lea Max Nia Otto Pia")
_PLACES = re.findall(r"\w+", "garden river market kitchen forest school harbour mountain bridge")
_THINGS = re.findall(r"\w+", "apple book candle drum engine feather glass hammer jacket lamp")
_VERBS = re.findall(r"\w+", "found lost saw made sold carried painted opened broke kept")
_WORDS = re.findall(r"\w+", "old small green heavy bright quiet round broken golden strange")


def sentence(chance: random.Random) -> str:
    """One English-like sentence."""
    name, place, thing = chance.choice(_NAMES), chance.choice(_PLACES), chance.choice(_THINGS)
    verb, word = chance.choice(_VERBS), chance.choice(_WORDS)
    return chance.choice(
        (
            f"{name} {verb} the {word} {thing} in the {place}.",
            f"In the {place} of {name} there was a {word} {thing}, and the {thing} was {verb}.",
            f"The {thing} of the {place} is {word}, but {name} and the others {verb} it.",
            f"When {name} came to the {place}, the {thing} was {word} and it was {verb}.",
        )
    )


def write_corpus(path: Path, documents: int = 260, seed: int = 0) -> Path:
    """A JSON-lines corpus of short documents; the same seed gives the same bytes."""
    chance = random.Random(seed)
    with open(path, "w", encoding="utf-8") as lines:
        for _ in range(documents):
            text = " ".join(sentence(chance) for _ in range(chance.randint(3, 7)))
            lines.write(json.dumps({"text": text}) + "\n")
    return path


def settings(corpus: Path, **changes: Any) -> dict[str, Any]:
    """The tiny study as a study file says it; ``changes`` are laid over it, part by part."""
    study: dict[str, Any] = {
        "name": "tiny",
        "seed": 0,
        "corpus": str(corpus),
        "held_out": 0.3,
        "tokenizer": {"vocabulary_size": 300},
        "model": {
            "shape": {
                "hidden_size": 32,
                "layers": 2,
                "heads": 2,
                "key_value_heads": 2,
                "intermediate_size": 48,
            },
            "training": {
                "steps": 24,
                "batch": 4,
                "context": 32,
                "warm_up": 2,
                "save_every": 4,
            },
        },
        "dictionaries": {
            "layer": 0,
            "checkpoints": [0, 24],
            "recipe": {
                "width": 64,
                "k": 4,
                "steps": 20,
                "batch": 64,
                "activations": 2000,
                "dead_window": 10,
            },
            "quality_tokens": 600,
        },
        "graph": {"tokens": 4000},
        "trace": {"prompts": ["The old lamp of the garden, and the lamp"], "features": 4},
        "steer": {"features": 4, "prompts": 16, "shown": "Ada saw the lamp in the", "generated": 4},
    }
    return laid_over(study, changes)


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``below`` with the values of ``above``, dictionaries merged key by key."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = laid_over(merged[key], value) if both else value
    return merged


def write_study(path: Path, study: dict[str, Any]) -> Path:
    """A study file."""
    path.write_text(yaml.safe_dump(study, sort_keys=False), "utf-8")
    return path


def changed(study: Path, place: Path, **changes: Any) -> Path:
    """The study with other settings, as another file."""
    return write_study(place, laid_over(yaml.safe_load(study.read_text()), changes))


class Outcome(NamedTuple):
    """What a command left behind for whoever typed it."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence of a refusal; asserts that it is one, and the last thing said."""
        said = [line for line in self.err.splitlines() if line.startswith("functok: ")]
        assert self.code == 2, self.err
        assert len(said) == 1, self.err
        assert self.err.rstrip("\n").splitlines()[-1] == said[0], self.err
        assert "Traceback" not in self.out + self.err
        assert said[0].endswith((".", "?")), said[0]
        return said[0]


def functok(*arguments: object, simulated: int = SIMULATED) -> Outcome:
    """The command line, in this process: what ``functok ARGUMENTS`` prints and returns."""
    from functok.cli import main
    from functok.graph import scaling

    out, err = io.StringIO(), io.StringIO()
    fewer = patch.object(scaling, "DRAWS", simulated)
    with fewer, _typed(arguments), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


@contextmanager
def _typed(arguments: tuple[object, ...]) -> Iterator[None]:
    before = sys.argv
    sys.argv = ["functok", *map(str, arguments)]
    try:
        yield
    finally:
        sys.argv = before


def results(folder: Path, drawn: bool = False) -> dict[str, Any]:
    """Every final result of a run by its path: tables, weights, tokenizer; never timings.

    With ``drawn`` also the tables behind the figures.

    Parquet and safetensors are compared by content, since their bytes may carry versions.
    """
    import pyarrow.parquet as pq
    from safetensors.numpy import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        apart = (".state/",) if drawn else (".state/", "figures/")
        if name.startswith(apart) or not path.is_file():
            continue
        if path.suffix == ".parquet":
            found[name] = pq.read_table(path)
        elif path.suffix == ".safetensors":
            arrays = load_file(path)
            found[name] = {
                key: (str(array.dtype), array.shape, array.tobytes())
                for key, array in sorted(arrays.items())
            }
        elif path.name in ("tokenizer.json", "config.json", "cfg.json", "meta.json"):
            found[name] = path.read_text("utf-8")
    return found


def different(one: Path, two: Path, drawn: bool = False) -> list[str]:
    """Paths of the results that are not the same in two run folders."""
    left, right = results(one, drawn), results(two, drawn)
    return sorted(
        name for name in left.keys() | right.keys() if not _same(left.get(name), right.get(name))
    )


def _same(one: Any, two: Any) -> bool:
    import pyarrow as pa

    if isinstance(one, pa.Table) and isinstance(two, pa.Table):
        # As text where floats may be NaN, which equals nothing, itself least of all.
        return one.schema.equals(two.schema) and (
            one.equals(two) or one.to_pydict().__repr__() == two.to_pydict().__repr__()
        )
    return type(one) is type(two) and one == two


def unfinished(folder: Path) -> list[Path]:
    """What a killed process left under a temporary name."""
    return [
        path for path in folder.rglob(".*") if path.name.startswith((".unfinished-", ".replaced-"))
    ]
