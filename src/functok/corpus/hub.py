"""A Hugging Face dataset as a corpus, streamed, shard by shard.

The cursor is ours: a shard is one of the dataset's own files, read from its start. ``datasets``'
``state_dict`` has lost and repeated rows on resume (huggingface/datasets#8145, #8308), so it is
not used.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from functok.corpus.blocks import blocks_of
from functok.corpus.document import Document, split_spec
from functok.corpus.hub_folder import check_folder
from functok.corpus.json_lines import encodable
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError, first_line
from functok.runtime.store import fingerprint


class HubCorpus:
    """A dataset by name, or a local folder in the hub's layout."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        allowed = ("config", "split", "field", "revision")
        name, self.options = split_spec(spec, allowed)
        self.name = name.removeprefix("hf://")
        self.field = self.options.get("field", "text")

    @cached_property
    def _dataset(self) -> Any:
        from datasets import load_dataset
        from datasets.exceptions import DatasetNotFoundError

        if Path(self.name).is_dir():
            check_folder(Path(self.name))
        try:
            return load_dataset(
                self.name,
                self.options.get("config"),
                split=self.options.get("split", "train"),
                revision=self.options.get("revision"),
                streaming=True,
            )
        except (DatasetNotFoundError, FileNotFoundError, ConnectionError) as error:
            raise UserError(
                f"Corpus {self.spec!r} cannot be reached ({first_line(error)}); check the name, "
                "or download it and give the folder."
            ) from error
        except Exception as error:
            # a wrong config or split, a damaged file, a dataset that wants to run its own script
            raise UserError(
                f"Corpus {self.spec!r} cannot be opened: {first_line(error)}"
            ) from error

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        found = sorted(file for file in Path(self.name).rglob("*") if file.is_file())
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in found]
        return fingerprint(self.name, self.options, stats)

    def key(self, shard: str) -> str:
        return fingerprint(self.fingerprint, shard)

    def shards(self) -> Sequence[str]:
        return [str(index) for index in range(self._dataset.num_shards)]

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        problems = problems or Problems()
        rows = self._dataset.shard(num_shards=self._dataset.num_shards, index=int(shard))
        for number, row in enumerate(self._read(rows, shard, problems), start=1):
            text = row.get(self.field)
            if not isinstance(text, str):
                what = f"there is no text in field {self.field!r} (a row has {', '.join(row)})"
                remedy = "name the right one with ?field=NAME"
                problems.meet(f"{self.spec} (part {shard})", number, "no text", what, remedy)
            elif not encodable(text):
                what = "the text holds half a surrogate pair, which is no Unicode character"
                problems.meet(f"{self.spec} (part {shard})", number, "not Unicode", what, "fix it")
            else:
                yield Document(f"{self.name}:{shard}:{number}", text)

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        documents = self.documents(shard, problems)
        return blocks_of(documents, problems, f"{self.spec} (part {shard})")

    def _read(self, rows: Iterable[dict], shard: str, problems: Problems) -> Iterator[dict]:
        iterator = iter(rows)
        while True:
            try:
                row = next(iterator)
            except StopIteration:
                return
            except Exception as error:  # of ``datasets``: files that differ in their columns, say
                said = str(error).strip().splitlines() or [type(error).__name__]
                why = " … ".join(dict.fromkeys((said[0], said[-1])))
                what = f"cannot be read completely ({why})"
                remedy = (
                    "run the same command again, or give its files as a folder instead of hf://"
                )
                place = f"{self.spec} (part {shard})"
                problems.meet(place, 0, "unreadable file", what, remedy)
                return
            yield row
