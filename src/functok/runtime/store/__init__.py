"""Where everything lies in a run folder, and in which formats.

The run folder is the whole truth of a run: the report and the explorer read nothing else, and
nothing outside this package decides where a file lies. Every file and folder appears whole or not
at all (``functok.runtime.atomic``).

Formats are Parquet, safetensors, JSON and YAML. Nothing is ever pickled.
"""

from functok.runtime.atomic import remove_file, remove_folder, writing, writing_folder
from functok.runtime.store.folder import RunFolder, baseline, control_table, graph_table
from functok.runtime.store.formats import (
    DamagedError,
    fingerprint,
    mapped_tensors,
    open_table,
    read_frame,
    read_json,
    read_table,
    read_tensors,
    read_text,
    regular,
    write_json,
    write_table,
    write_text,
)

__all__ = [
    "DamagedError",
    "RunFolder",
    "baseline",
    "control_table",
    "fingerprint",
    "graph_table",
    "mapped_tensors",
    "open_table",
    "read_frame",
    "read_json",
    "read_table",
    "read_tensors",
    "read_text",
    "regular",
    "remove_file",
    "remove_folder",
    "write_json",
    "write_table",
    "write_text",
    "writing",
    "writing_folder",
]
