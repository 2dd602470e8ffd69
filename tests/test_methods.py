"""The methods page: what the sources cite is there, and what it cites is in the sources."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/methods.md").read_text("utf-8")
ANCHORS = re.findall(r'<a id="([^"]+)"></a>', PAGE)


def test_every_cited_anchor_is_on_the_page() -> None:
    cited = {}
    for file in sorted((ROOT / "src").rglob("*.py")):
        for anchor in re.findall(r"methods\.md#([\w-]+)", file.read_text("utf-8")):
            cited[anchor] = file.name
    assert len(cited) > 10
    assert {anchor: name for anchor, name in cited.items() if anchor not in ANCHORS} == {}


def test_the_page_is_never_cited_without_an_anchor() -> None:
    for file in sorted((ROOT / "src").rglob("*.py")):
        for line in file.read_text("utf-8").splitlines():
            if "methods.md" in line:
                assert "docs/methods.md#" in line, f"{file.name}: {line.strip()}"


def test_anchors_are_unique_and_links_on_the_page_lead_to_them() -> None:
    assert [anchor for anchor, times in Counter(ANCHORS).items() if times > 1] == []
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= set(ANCHORS)


def test_every_module_that_the_page_names_exists() -> None:
    named = re.findall(r"`([a-z_]+(?:/[\w]+)+(?:\.py)?)`", PAGE)
    assert len(named) > 30
    missing = [name for name in named if not (ROOT / "src/functok" / name).exists()]
    assert missing == []


def test_the_glossary_stays_short() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text("utf-8")
    rows = [line for line in glossary.splitlines() if re.match(r"\| (?!word|---)", line)]
    assert 20 < len(rows) <= 40
