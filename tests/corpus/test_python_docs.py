"""The documentation every CPython carries: real text, read without running anything."""

import json
import string
import subprocess
import sys
from collections import Counter
from inspect import cleandoc

import pytest

_READ = """
import json, sys
from functok.corpora import open_corpus
from functok.corpus import read_documents
corpus = open_corpus("python-docs")
before = set(sys.modules)
documents = list(read_documents(corpus))
json.dump([documents, sorted(set(sys.modules) - before)], sys.stdout)
"""


@pytest.fixture(scope="module")
def documents():
    """Name and text of each, and what was imported for them: read in a process of its own."""
    read = subprocess.run([sys.executable, "-c", _READ], capture_output=True, check=True)
    return json.loads(read.stdout)


def test_python_docs_are_thousands_of_documents_of_english(documents):
    found, _ = documents
    assert len(found) > 3000
    text = "\n".join(text for _, text in found)
    assert len(text) > 1_000_000
    words = Counter(text.lower().split())
    assert {"the", "a", "is", "of", "to"} <= {word for word, _ in words.most_common(12)}


def test_python_docs_are_read_without_importing_what_they_document(documents):
    _, imported = documents
    assert set(imported).isdisjoint({"this", "antigravity", "turtle", "pydoc_data.topics", "cgi"})
    assert len(imported) < 20  # of the several hundred that are documented


def test_python_docs_hold_every_text_once(documents):
    found, _ = documents
    assert max(Counter(text for _, text in found).values()) == 1


def test_python_docs_have_the_docstrings_and_topics_they_should(documents):
    found, _ = documents
    named = dict(found)
    assert named["string.capwords"] == cleandoc(string.capwords.__doc__ or "")
    assert named["json"] == cleandoc(json.__doc__ or "")
    assert named["json.encoder.JSONEncoder"] == cleandoc(json.JSONEncoder.__doc__ or "")
    assert "while" in named["topic while"]
    assert not any(name.split(".")[0] in ("test", "idlelib", "site-packages") for name in named)
