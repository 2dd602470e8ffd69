"""Peak memory of a corpus that is counted, encoded and pre-trained on, by the corpus's size.

    python benchmarks/streaming.py [MEGABYTES …]

Each size in a process of its own: a corpus of English-like documents, no two alike, is written;
then a study counts it whole and trains a small model on it for 200 steps. Nothing holds a corpus,
so the peaks differ by the keys of the documents alone: at most a tenth between 300 MB and 3 GB.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

SIZES = (300, 3000)
"""Megabytes of text."""
BAR = 1.10
"""Largest peak over the smallest."""
STUDY = {
    "name": "streaming",
    "held_out": 0.02,
    "tokens": {"plain": True},
    "model": {
        "shape": {
            "hidden_size": 64,
            "layers": 2,
            "heads": 4,
            "key_value_heads": 4,
            "intermediate_size": 128,
        },
        "training": {"steps": 200, "batch": 8, "context": 128, "warm_up": 20, "save_every": 100},
    },
    "dictionaries": [],
}


def write_corpus(path: Path, size: int) -> None:
    """Documents of about 4 kB, ``size`` bytes of text in all."""
    chance = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(5000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    pages = [" ".join(chance.choices(words, weights, k=650)) for _ in range(500)]
    written = number = 0
    with open(path, "w", encoding="utf-8") as lines:
        while written < size:
            text = f"{number} {pages[number % len(pages)]}"
            lines.write(json.dumps({"text": text}) + "\n")
            written, number = written + len(text), number + 1


def streamed(size: int, tokenizer: str) -> None:
    """Run the study on ``size`` MB, and print the peak (GB) and the seconds."""
    from functok.cli import main

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_corpus(place / "corpus.jsonl", size * 10**6)
        study = {**STUDY, "corpus": str(place / "corpus.jsonl"), "tokenizer": {"load": tokenizer}}
        (place / "study.yaml").write_text(yaml.safe_dump(study))
        started = time.perf_counter()
        sys.argv = ["functok", "pretrain", str(place / "study.yaml"), "-o", str(place / "run")]
        main()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps([peak, time.perf_counter() - started]))


def trained_tokenizer(place: Path) -> str:
    """One tokenizer for all sizes, from a small corpus."""
    from functok.corpora import open_corpus
    from functok.corpus import read_documents
    from functok.encoding.tokenizer import save_tokenizer, train_tokenizer

    write_corpus(place / "small.jsonl", 2 * 10**6)
    texts = [document.text for document in read_documents(open_corpus(str(place / "small.jsonl")))]
    save_tokenizer(train_tokenizer(texts, 2048), place / "tokenizer")
    return str(place / "tokenizer")


def main(sizes: list[int]) -> None:
    """Print each size's peak; the exit code is 1 where the largest is too far above the least."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = trained_tokenizer(Path(folder))
        for size in sizes:
            command = [sys.executable, __file__, "--size", str(size), tokenizer]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peak, seconds = json.loads(said.splitlines()[-1])
            peaks.append(peak)
            print(f"{size:,} MB of text: {peak:.3f} GB, {seconds:.0f} s", flush=True)
    print(f"largest over smallest: {max(peaks) / min(peaks):.2f} (bar: {BAR})")
    sys.exit(int(max(peaks) > BAR * min(peaks)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--size"]:
        streamed(int(sys.argv[2]), sys.argv[3])
    else:
        main([int(size) for size in sys.argv[1:]] or list(SIZES))
