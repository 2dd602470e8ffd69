"""What a study file may say. Unknown keys are errors, and every default is written out into the run
folder's own ``study.yaml``.

Settings are defined next to the code that they drive (``LlamaShape``, ``TrainingSettings``,
``DictionarySettings``); a study puts them together. Nothing heavy is imported here.
"""

from functok.study.settings.measures import ControlsPart, GraphPart, LossesPart
from functok.study.settings.model import DictionaryPart, ModelPart
from functok.study.settings.reading import differences, dump_study, load_study, resolved
from functok.study.settings.study import Study
from functok.study.settings.text import TokenizerPart, TokensPart

__all__ = [
    "ControlsPart",
    "DictionaryPart",
    "GraphPart",
    "LossesPart",
    "ModelPart",
    "Study",
    "TokenizerPart",
    "TokensPart",
    "differences",
    "dump_study",
    "load_study",
    "resolved",
]
