"""YAML from strangers: plain values, or one sentence within moments."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from functok.runtime.errors import UserError
from functok.runtime.store.yaml_file import parse_yaml, read_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGED = "x0: &x0 {k0: 1}\n" + "".join(
    f"x{i}: &x{i} {{<<: [{','.join([f'*x{i - 1}'] * 10)}]}}\n" for i in range(1, 9)
)

REFUSED = {
    "deep": "name: " + "[" * 1000 + "]" * 1000,
    "long number": "seed: " + "1" * 5000,
    "date": "name: 2024-99-99",
    "time": "name: 2024-01-01T99:99:99Z",
    "int": "seed: !!int abc",
    "bool": "name: !!bool abc",
    "timestamp": "name: !!timestamp abc",
    "python": "name: !!python/object/apply:os.system [echo]",
    "aliases": LAUGHS,
    "merges": MERGED,
    "circle": "a: &a [*a]",
    "circle of merges": "a: &a {<<: *a}",
    "twice": "seed: 0\nname: x\nseed: 5",
    "twice inside": "a:\n  - {b: 1, b: 2}",
    "unhashable": "{[a]: 1}",
    "tabs": "a:\n\t- b",
    "two documents": "a: 1\n---\nb: 2",
    "control": "a: \x01",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_one_sentence(tmp_path, name) -> None:
    (tmp_path / "study.yaml").write_text(REFUSED[name])
    began = time.monotonic()
    with pytest.raises(UserError) as refusal:
        read_yaml(tmp_path / "study.yaml")
    assert "\n" not in str(refusal.value)
    assert "study.yaml" in str(refusal.value)
    assert time.monotonic() - began < 20


def test_aliases_and_merges_within_bounds_are_what_yaml_says() -> None:
    text = "base: &base {a: 1, b: [x]}\none: *base\ntwo: {<<: *base, a: 2}\n"
    assert parse_yaml(text) == yaml.safe_load(text)


def test_a_large_file_is_not_read(tmp_path) -> None:
    (tmp_path / "study.yaml").write_text("a: " + "x" * (1 << 20))
    with pytest.raises(UserError, match="more than"):
        read_yaml(tmp_path / "study.yaml")


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
)


@given(VALUES)
def test_what_is_written_is_read(value) -> None:
    assert parse_yaml(yaml.safe_dump(value)) == value


@given(some.text(alphabet="ab:-[]{}&*!<>#'\"|\n ?,1", max_size=60))
def test_any_text_gives_what_the_safe_loader_gives_or_is_refused(text) -> None:
    try:
        found = parse_yaml(text)
    except Exception:
        return
    assert found == yaml.safe_load(text)
