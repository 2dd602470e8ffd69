"""What the run was made with and how long it took: the end of the report."""

from typing import Any

import polars as pl

from functok.report.markup import escaped, folded, shortened, table
from functok.runtime.store import RunFolder, read_json


def provenance(folder: RunFolder) -> str:
    """The section."""
    return f'<section id="provenance"><h2>Provenance</h2>{contents(folder)}</section>'


def contents(folder: RunFolder) -> str:
    """A short list, then the files themselves."""
    parts = []
    if folder.provenance.exists():
        entries = _entries(read_json(folder.provenance))
        items = (
            f"<dt>{escaped(name)}</dt><dd>{escaped(shortened(value, 2000))}</dd>"
            for name, value in entries
        )
        parts.append(f"<dl>{''.join(items)}</dl>")
    if folder.timings.exists():
        times = read_json(folder.timings)
        frame = pl.DataFrame(
            {"part": list(times), "seconds": [float(value) for value in times.values()]}
        )
        parts.append(folded(f"Seconds by part: {sum(times.values()):,.0f} in all", table(frame)))
    if folder.study.exists():
        again = "functok run study.yaml -o NEW"
        parts.append(f"<p>The same again, with the study.yaml below: <code>{again}</code></p>")
    for path in (folder.study, folder.provenance):
        if path.exists():
            parts.append(
                folded(escaped(path.name), f"<pre>{escaped(path.read_text('utf-8'))}</pre>")
            )
    return "".join(parts)


def _entries(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The main facts; missing ones are left out."""
    corpus, rule = found.get("corpus", {}), found.get("function_tokens", {})
    excluded = found.get("excluded", {})
    entries = {
        "Corpus": _words(corpus.get("spec"), corpus.get("fingerprint")),
        "Seed": _words(found.get("seed")),
        "Function tokens": _words(_rule(rule) if rule else None),
        "A feature is active": _words(found.get("active")),
        "Excluded": _words(
            f"{', '.join(excluded['tokens']) or 'nothing'} (from {excluded['from']})"
            if excluded
            else None
        ),
        "Commit": _words(found.get("commit")),
        "Machine": _words(found.get("machine"), found.get("device")),
        "Versions": _words(
            *(f"{name} {version}" for name, version in found.get("versions", {}).items())
        ),
    }
    return [(name, value) for name, value in entries.items() if value]


def _rule(rule: dict[str, Any]) -> str:
    """What makes a token a function token, in words."""
    if rule.get("from") is not None:
        return f"counted in {rule['from']} (SHA-256 {rule['from_sha256']})"
    definition = rule.get("definition", "frequency")
    if definition == "frequency":
        return f"by frequency: coverage {rule['coverage']}, boundary {rule['boundary']!r}"
    source = rule["treebank"] if definition == "treebank" else ", ".join(rule["languages"])
    return " and ".join([f"closed classes by {definition} ({source})", *rule["also"]])


def _words(*values: object) -> str:
    return ", ".join(str(value) for value in values if value is not None)
