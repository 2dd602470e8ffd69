"""Run the golden studies and pin their numbers: ``cd tests && python -m golden.pin``.

A change that means to change a number pins it again, in a commit that says why.
``--keep FOLDER`` pins nothing and leaves both runs there, for ``compare.py``.
"""

import argparse
import tempfile
from pathlib import Path

from .running import HERE, run_committed, run_short_training
from .summary import summarise, written

PINNED = {
    HERE / "pinned" / "committed.csv": run_committed,
    HERE / "pinned" / "training.csv": run_short_training,
}
"""Each file with the run that it pins."""


def main() -> None:
    """Pin, or keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="leave the runs here and pin nothing")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as temporary:
        for file, run in PINNED.items():
            folder = run((keep or Path(temporary)) / file.stem)
            if keep is None:
                file.parent.mkdir(exist_ok=True)
                file.write_text(written(summarise(folder)), "utf-8")
            print(folder if keep else file)


if __name__ == "__main__":
    main()
