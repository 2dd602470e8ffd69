"""Features by their faces: a card for each that the report names, and the links that lead there."""

from collections.abc import Iterable, Mapping
from itertools import zip_longest

import polars as pl

from functok.figures.plan import read
from functok.report.markup import escaped, folded, identity, number, percent, shortened
from functok.runtime.store import RunFolder

_TOKEN, _LABEL = 40, 120
"""Characters of a token and of a label that are shown."""


def face_link(folder: RunFolder, feature: int, label: str) -> str:
    """What a feature is called, as a link to its card where there is one."""
    return _link(folder, feature, label) if feature in _known(folder) else escaped(label)


def face_links(folder: RunFolder, labels: Mapping[int, str]) -> str:
    """The features of a figure or a table that have cards, as links in a line; empty for none."""
    known = _known(folder)
    named = {feature: label for feature, label in labels.items() if feature in known}
    if not named:
        return ""
    links = (_link(folder, feature, label) for feature, label in named.items())
    return f'<p class="chips"><b>Features.</b> {" ".join(links)}</p>'


def cards(folders: Iterable[RunFolder]) -> str:
    """The section with the cards of every SAE; empty where no feature is named."""
    parts, count = [], 0
    for folder in folders:
        faces, texts = (read(folder.retrieval(name)) for name in ("features", "feature_contexts"))
        if faces is None:
            continue
        of_sae = "" if folder.sae is None else f"<h3>SAE {escaped(folder.sae)}</h3>"
        rows = faces.to_dicts()
        count += len(rows)
        parts.append(of_sae + "".join(_card(folder, row, texts) for row in rows))
    if not count:
        return ""
    return (
        '<section id="features"><h2>Features named in this report</h2>'
        "<p>A number and the tokens that hold most of a feature's activation. The shade of a token "
        "and the number after it are the feature's activation there.</p>"
        + folded(f"All {count:,d} features", "".join(parts), kind="cards")
        + "</section>"
    )


def _card(folder: RunFolder, row: dict, texts: pl.DataFrame | None) -> str:
    share = row["active"] / row["positions"] if row["positions"] else 0.0
    fires = (
        f"fires at {row['active']:,d} of {row['positions']:,d} positions ({percent(share)}), at "
        f"most with {number(row['maximum'])}"
        if row["active"]
        else "never fires in the graph's text"
    )
    parts = []
    if row["tokens"]:
        tokens = zip(row["tokens"], row["shares"], strict=True)
        listed = " ".join(f"{_code(token)} {percent(share)}" for token, share in tokens)
        what = "Tokens with most of its activation, and how often each has it"
        parts.append(f"<h3>{what}</h3>{_p(listed)}")
    mine = [] if texts is None else texts.filter(feature=row["feature"]).to_dicts()
    if mine:
        parts.append("<h3>Where it fires most</h3>" + "".join(map(_context, mine)))
    if row["neighbours"]:
        near = zip(row["neighbours"], row["cosines"], strict=True)
        listed = "; ".join(
            f"{escaped(shortened(name, _LABEL))} ({number(cosine)})" for name, cosine in near
        )
        parts.append(f"<h3>Most similar decoder directions (cosine)</h3>{_p(listed)}")
    for name, said in (("promotes", "raises"), ("suppresses", "lowers")):
        if row[name]:
            listed = " ".join(map(_code, row[name]))
            parts.append(f"<h3>Logits that its direction alone {said} most</h3>{_p(listed)}")
    summary = f"<b>{escaped(shortened(row['label'], _LABEL))}</b> <small>{escaped(fires)}</small>"
    return folded(summary, "".join(parts), _identity(folder, row["feature"]), "face")


def _context(row: dict) -> str:
    """A text with the feature's activation at each token."""
    words = []
    for token, activation in zip_longest(row["tokens"], row["activations"]):
        text = escaped(shortened(str(token).replace("␣", " "), _TOKEN))
        if activation:
            shade = max(0.0, min(1.0, activation / row["value"]))
            text = f'<mark style="--a:{shade:.2f}">{text}<sub>{number(activation)}</sub></mark>'
        words.append(text)
    return f'<p class="context">{"".join(words)}</p>'


def _code(token: str) -> str:
    return f"<code>{escaped(shortened(token, _TOKEN))}</code>"


def _p(content: str) -> str:
    return f"<p>{content}</p>"


def _link(folder: RunFolder, feature: int, label: str) -> str:
    return f'<a href="#{_identity(folder, feature)}">{escaped(label)}</a>'


def _identity(folder: RunFolder, feature: int) -> str:
    return identity("feature", *([] if folder.sae is None else [folder.sae]), feature)


def _known(folder: RunFolder) -> frozenset[int]:
    """The features that have cards."""
    found = read(folder.retrieval("features"))
    return frozenset() if found is None else frozenset(found["feature"])
