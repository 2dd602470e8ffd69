"""The box of facts: what was read, with what, when, and at what cost."""

import re
from typing import Any

from functok.report.findings import sae_health
from functok.report.markup import escaped, shortened
from functok.runtime.store import RunFolder
from functok.runtime.store.records import read_record
from functok.study.summary import summary

_PREFIX = "SAE health: "
MADE = "Made"
"""The fact that differs between two runs of the same study."""


def facts(folder: RunFolder) -> dict[str, str]:
    """Model, SAE with its layer and health, text, when the run was made; as far as known."""
    found, said = read_record(folder.provenance), summary(folder)
    model, text = said.pop("Model", ""), said.pop("Text", "")
    meta = {} if folder.judged is None else read_record(folder.judged / "meta.json")
    revisions = found.get("model", {}).get("revisions", [])
    if len(revisions) == 1 and revisions[0] not in model:
        model += f", revision {revisions[0]}"
    known = {
        "Model": model,
        "Layer": _layer(meta, found.get("model", {})),
        "SAE": said.get("SAE", ""),
        "SAE health": sae_health(folder).removeprefix(_PREFIX),
        "Text": text,
        MADE: _made(found, read_record(folder.timings)),
    }
    return {name: value for name, value in known.items() if value}


def facts_box(folder: RunFolder) -> str:
    """The same as a list; empty where nothing is known."""
    items = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(shortened(value, 1000))}</dd>"
        for name, value in facts(folder).items()
    )
    return f'<dl class="facts">{items}</dl>' if items else ""


def _layer(meta: dict[str, Any], model: dict[str, Any]) -> str:
    """The layer that the SAE decomposes, of how many."""
    found = re.match(r"blocks\.(\d+)\.", str(meta.get("hook", "")))
    if found is None:
        return ""
    of = f" of 0 to {model['layers'] - 1}" if "layers" in model else ""
    return f"{found[1]}{of}"


def _made(found: dict[str, Any], timings: dict[str, Any]) -> str:
    seconds = sum(value for value in timings.values() if isinstance(value, int | float))
    version = found.get("versions", {}).get("functok")
    parts = [
        found.get("date"),
        f"in {duration(seconds)}" if seconds else None,
        f"on {found['device']}" if found.get("device") else None,
        f"with functok {version}" if version else None,
    ]
    return " ".join(part for part in parts if part)


def duration(seconds: int | float) -> str:
    """A time in the unit that a person would say."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
