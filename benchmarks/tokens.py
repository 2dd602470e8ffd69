"""How fast a corpus is counted, beside what a user would pick instead.

    python benchmarks/tokens.py olmo gpt2 [--texts FOLDER] [--tokenizers FOLDER] [--repeats 3]

Occurrences and documents per token of JSON lines, in a fresh process each time, methods in turn,
medians over the repeats. Times run from the file to the counts; reading the tokenizer and, for
functok, checking the fast path come before and are shown apart.

* functok: ``CountJob``, which counts pairs for the transition shares and meets problems as well.
* details: the second pass, ``DetailJob``, which ``--plain`` leaves out.
* gigatoken: its own file reader and encoding alone, no counts: the limit.
* tokenizers: ``encode_batch_fast`` and ``bincount``, occurrences alone.
* datasets: ``map`` with a fast tokenizer, and a ``Counter``.

The last two are slow and of even speed, so they get the first megabytes of the file, once for all
sizes.
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

from functok.runtime.engine import merge_all

SHARED = Path(__file__).parents[2] / "shared" / "data"
PROSE = ("openstax", "standardebooks", "wikipedia")
LENGTHS = {"about 100 tokens": 470, "about 4,000 tokens": 18_800}
"""Characters in a document."""
MEASURED = ["functok", "gigatoken", "details"]
PART = {"tokenizers": 6_000_000, "datasets": 2_000_000}
"""Bytes of the file that a slow method gets."""


def functok(file: Path, tokenizer: Path) -> Callable[[], int]:
    job, corpus = count_job(file, tokenizer)
    return lambda: int(merge_all(map(job.run, corpus.shards())).tokens.occurrences.sum())


def details(file: Path, tokenizer: Path) -> Callable[[], int]:
    from functok.tokens.spread.details import detail_job

    job, corpus = count_job(file, tokenizer)
    counts = merge_all(map(job.run, corpus.shards())).tokens
    second = detail_job(corpus, tokenizer, [], counts, job.path, "stop")
    return lambda: int(merge_all(map(second.run, corpus.shards())).spread.parts.sizes.sum())


def count_job(file: Path, tokenizer: Path) -> tuple:
    """The job as ``count_corpus`` makes it, its encoder checked and ready."""
    from tokenizers import Tokenizer

    from functok.corpus.files import FileCorpus
    from functok.tokens.counting import corpus as counting
    from functok.tokens.spread import details

    corpus = FileCorpus(str(file))
    backend = Tokenizer.from_file(str(tokenizer))
    heads = counting._heads(corpus)
    encoder = counting.BulkEncoder.checked(backend, counting.sample(heads))
    codes = counting.candidate_codes(np.arange(250), [], backend.get_vocab_size())
    counting.shared_encoder = details.shared_encoder = lambda *_: encoder
    return counting.CountJob(corpus, tokenizer, encoder.path, codes.tobytes(), "stop"), corpus


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


METHODS = {
    method.__name__: method for method in (functok, details, gigatoken, tokenizers, datasets)
}


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
        for times in (1, 4, 8):
            write(folder / f"{times}.jsonl", documents, times)
        for method, most in PART.items():
            write(folder / f"{method}.jsonl", documents, most=most)
        for name in options.names:
            tokenizer = options.tokenizers / name / "tokenizer.json"
            print(f"\n{name}, documents of {length}", flush=True)
            rest = {
                method: medians(folder / f"{method}.jsonl", tokenizer, [method], repeats)[method]
                for method, repeats in (("tokenizers", options.repeats), ("datasets", 1))
            }
            show(rest)
            for times in (1, 4):
                file = folder / f"{times}.jsonl"
                note = "unrepeated" if times == 1 else f"{times} times over"
                print(f" {file.stat().st_size / 1e6:.0f} MB of prose ({note})")
                found = medians(
                    file, tokenizer, ["functok", "gigatoken", "details"], options.repeats
                )
                show(found)
                bars(found, rest)
            double = folder / "8.jsonl"
            for method, bar in (("functok", " (bar 2000, and flat)"), ("details", "")):
                once, twice = (measured(method, some, tokenizer)[3] for some in (file, double))
                size = double.stat().st_size / 1e6
                print(f"  {method}: peak {once:.0f} MB, {twice:.0f} MB on {size:.0f} MB{bar}")


def medians(file: Path, tokenizer: Path, methods: list[str], repeats: int) -> dict[str, list]:
    """Set-up (s), seconds, tokens, peak memory (MB) and speed (MB/s) of each method: medians."""
    found: dict[str, list] = {method: [] for method in methods}
    for _ in range(repeats):
        for method in methods:
            setup, seconds, tokens, peak = measured(method, file, tokenizer)
            found[method].append(
                [setup, seconds, tokens, peak, file.stat().st_size / 1e6 / seconds]
            )
    assert len({rows[0][2] for rows in found.values()}) == 1, "all must count the same tokens"
    columns = {method: zip(*rows, strict=True) for method, rows in found.items()}
    return {method: [statistics.median(column) for column in columns[method]] for method in columns}


def show(rows: dict[str, list]) -> None:
    for method, (setup, seconds, _, peak, speed) in rows.items():
        print(
            f"  {method:10} {speed:8.1f} MB/s  {seconds:7.2f} s  "
            f"set-up {setup:5.2f} s  peak {peak:5.0f} MB",
            flush=True,
        )


def bars(found: dict[str, list], rest: dict[str, list]) -> None:
    ours, limit = found["functok"], found["gigatoken"]
    print(
        f"  functok: {ours[4] / rest['tokenizers'][4]:.1f} times tokenizers (bar 15), "
        f"{ours[4] / rest['datasets'][4]:.0f} times datasets; "
        f"{ours[1] / limit[1]:.2f} of gigatoken's time (bar 1.5); "
        f"the second pass takes {found['details'][1] / ours[1]:.2f} of the first",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["olmo", "gpt2"], help="tokenizers")
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
