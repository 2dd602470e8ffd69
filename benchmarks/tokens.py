"""How fast a corpus is counted, beside what a user would pick instead.

    python benchmarks/tokens.py [--texts FOLDER] [--tokenizers FOLDER] [--repeats 3]

Occurrences and documents per token of JSON lines, in a fresh process each time, methods in turn,
medians over the repeats. Times run from the file to the counts; reading the tokenizer and, for
functok, checking the fast path come before and are shown apart.

* functok: ``CountJob``, which counts pairs for the transition shares and meets problems as well.
* gigatoken: its own file reader and encoding alone, no counts: the limit.
* tokenizers: ``encode_batch_fast`` and ``bincount``, occurrences alone.
* datasets: ``map`` with a fast tokenizer, and a ``Counter``.

The last two are slow and of even speed, so they get the first megabytes of the file.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import zstandard

SHARED = Path(__file__).parents[2] / "shared" / "data"
PROSE = ("openstax", "standardebooks", "wikipedia")
LENGTHS = {"about 100 tokens": 470, "about 4,000 tokens": 18_800}
"""Characters in a document."""
PART = {"tokenizers": 6_000_000, "datasets": 2_000_000}
"""Bytes of the file that a slow method gets."""


def functok(file: Path, tokenizer: Path) -> Callable[[], int]:
    from tokenizers import Tokenizer

    from functok.corpus.files import FileCorpus
    from functok.tokens import counting

    corpus = FileCorpus(str(file))
    backend = Tokenizer.from_file(str(tokenizer))
    heads = counting._heads(corpus)
    encoder = counting.BulkEncoder.checked(backend, counting.sample(heads))
    codes = counting.candidate_codes(np.arange(250), [], backend.get_vocab_size())
    counting.shared_encoder = lambda *_: encoder
    job = counting.CountJob(corpus, tokenizer, encoder.path, codes.tobytes(), "stop")
    return lambda: int(job.run(str(file)).tokens.occurrences.sum())


def gigatoken(file: Path, tokenizer: Path) -> Callable[[], int]:
    import gigatoken

    encoder = gigatoken.Tokenizer(str(tokenizer))
    source = gigatoken.JsonlFileSource([str(file)])
    return lambda: len(encoder.encode_files(source).layout.content.data)


def tokenizers(file: Path, tokenizer: Path) -> Callable[[], int]:
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer))

    def count() -> int:
        counts = np.zeros(encoder.get_vocab_size(), np.int64)
        with open(file, encoding="utf-8") as lines:
            while texts := [json.loads(line)["text"] for line in islice(lines, 1024)]:
                encodings = encoder.encode_batch_fast(texts, add_special_tokens=False)
                ids = np.concatenate([encoding.ids for encoding in encodings])
                counts += np.bincount(ids, minlength=len(counts))
        return int(counts.sum())

    return count


def datasets(file: Path, tokenizer: Path) -> Callable[[], int]:
    from datasets import disable_progress_bars, load_dataset
    from transformers import PreTrainedTokenizerFast

    disable_progress_bars()
    encoder = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer))

    def count() -> int:
        with tempfile.TemporaryDirectory() as cache:
            table = load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
            table = table.map(lambda row: encoder(row["text"]), batched=True)
            occurrences, documents = Counter(), Counter()
            for ids in table["input_ids"]:
                occurrences.update(ids)
                documents.update(set(ids))
        return occurrences.total()

    return count


METHODS = {method.__name__: method for method in (functok, gigatoken, tokenizers, datasets)}


def child(method: str, file: Path, tokenizer: Path) -> None:
    """One measurement, in a process of its own."""
    started = time.perf_counter()
    work = METHODS[method](file, tokenizer)
    ready = time.perf_counter()
    tokens = work()
    done = time.perf_counter()
    print(json.dumps([ready - started, done - ready, tokens, peak_memory()]))


def peak_memory() -> float:
    """Most memory held by this process, in MB; ``ru_maxrss`` would count its parent's too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # bytes on a Mac


def measured(method: str, file: Path, tokenizer: Path) -> list[float]:
    command = [sys.executable, __file__, "--child", method, str(file), str(tokenizer)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(found.splitlines()[-1])


def prose(texts: Path) -> list[str]:
    documents = []
    for name in PROSE:
        with zstandard.open(texts / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
            documents += [json.loads(line)["text"] for line in lines]
    return documents


def pieces(text: str, characters: int) -> list[str]:
    """The text cut into documents at spaces; nothing is lost."""
    found, start = [], 0
    while start < len(text):
        stop = text.find(" ", start + characters)
        stop = stop if stop > 0 else len(text)
        found.append(text[start:stop])
        start = stop
    return found


def write(file: Path, documents: list[str], times: int = 1, most: int | None = None) -> None:
    whole = io.StringIO()
    for text in documents:
        whole.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        if most and whole.tell() > most:
            break
    file.write_text(whole.getvalue() * times, encoding="utf-8")


def compare(options: argparse.Namespace, folder: Path) -> None:
    text = "\n\n".join(prose(options.texts))
    for length, characters in LENGTHS.items():
        documents = [piece for piece in pieces(text, characters) if piece.strip()]
        for times in (1, 4):
            file = folder / f"{times}.jsonl"
            write(file, documents, times)
            for part, most in PART.items():
                write(folder / f"{part}.jsonl", documents, most=most)
            size = file.stat().st_size / 1e6
            note = "unrepeated" if times == 1 else f"{times} times over"
            for name in ("olmo", "gpt2"):
                print(f"\n{name}, {size:.0f} MB of prose ({note}), documents of {length}")
                tokenizer = options.tokenizers / name / "tokenizer.json"
                rows = side_by_side(folder, file, tokenizer, options.repeats)
                show(rows)
        double = folder / "double.jsonl"
        write(double, documents, 8)
        peak = measured("functok", double, options.tokenizers / "gpt2" / "tokenizer.json")[3]
        print(f"\npeak memory of functok on {double.stat().st_size / 1e6:.0f} MB: {peak:.0f} MB")


def side_by_side(folder: Path, file: Path, tokenizer: Path, repeats: int) -> dict[str, list]:
    """Set-up (s), seconds, tokens, peak memory (MB) and speed (MB/s) of each method: medians."""
    found: dict[str, list] = {method: [] for method in METHODS}
    for _ in range(repeats):
        for method in METHODS:
            source = folder / f"{method}.jsonl" if method in PART else file
            setup, seconds, tokens, peak = measured(method, source, tokenizer)
            speed = source.stat().st_size / 1e6 / seconds
            found[method].append([setup, seconds, tokens, peak, speed])
    counts = {found[method][0][2] for method in ("functok", "gigatoken")}
    assert len(counts) == 1, "functok and gigatoken must count the same tokens"
    columns = {method: zip(*rows, strict=True) for method, rows in found.items()}
    return {method: [statistics.median(column) for column in columns[method]] for method in columns}


def show(rows: dict[str, list]) -> None:
    for method, (setup, seconds, _, peak, speed) in rows.items():
        print(
            f"  {method:10} {speed:8.1f} MB/s  {seconds:7.2f} s  "
            f"set-up {setup:5.2f} s  peak {peak:5.0f} MB"
        )
    ours = rows["functok"]
    faster = ours[4] / rows["tokenizers"][4]
    slower = ours[1] / rows["gigatoken"][1]
    print(f"  {faster:.1f} times tokenizers (bar 15); {slower:.2f} of gigatoken's time (bar 1.5)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=Path, default=SHARED / "texts")
    parser.add_argument("--tokenizers", type=Path, default=SHARED / "tokenizers")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.child:
        method, file, tokenizer = options.child
        child(method, Path(file), Path(tokenizer))
        return
    if not options.texts.is_dir():
        parser.exit(message=f"There are no texts in {options.texts}: give --texts.\n")
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


if __name__ == "__main__":
    main()
