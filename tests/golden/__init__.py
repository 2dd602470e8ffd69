"""Golden runs: whole studies whose numbers are pinned in the repository.

``study.yaml`` runs on committed weights (``model/``, ``sae/``), so its numbers are the same on
every machine, up to rounding. A second, shorter study trains from the seed. ``pinned/`` holds one
line per column of every table that the two leave: type, rows, and sums or a hash of the values.

A change that means to change a number pins it again, in a commit that says why::

    cd tests && python -m golden.pin

A change that must leave every number as it is, and only moves or renames, proves it on two whole
run folders, bit for bit, with what it renames in ``renamed.yaml``::

    cd tests && python -m golden.pin --keep FOLDER     # before the change, and after it
    python tests/golden/compare.py OLD/run NEW/run

``python -m golden.make`` trains the committed weights again.
"""

import os

# As tests/conftest.py does for the tests, before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
