"""What a finished run can be asked about: its last decomposed checkpoint and that one's SAE."""

import numpy as np

from functok.graph.bipartite import TokenFeatureGraph
from functok.models.language.hooks import HookPoint
from functok.retrieval.prompts.subject import Subject
from functok.runtime.errors import require
from functok.study.run import Run


def subject_of(run: Run) -> Subject:
    """The run's subject.

    Raises:
        UserError: if its SAE belongs to another model.
    """
    checkpoint = run.decomposed[-1]
    model, dictionary = run.model(checkpoint), run.dictionary(checkpoint)
    width, reads = model.config.get_text_config().hidden_size, len(dictionary.W_enc)
    require(
        reads == width,
        f"The SAE reads {reads} dimensions but the residual stream has {width}; it belongs to "
        "another model.",
    )
    graph = TokenFeatureGraph.load(run.folder.graph(checkpoint.step))
    active = np.bincount(graph.feature, weights=graph.occurrences, minlength=graph.features)
    maximum = np.zeros(graph.features, np.float32)
    np.maximum.at(maximum, graph.feature, graph.max.astype(np.float32))
    return Subject(
        model=model,
        tokenizer=run.tokenizer,
        dictionary=dictionary,
        place=HookPoint.residual(run.study.dictionaries.layer),
        vocabulary=run.vocabulary,
        density=active / graph.positions,
        maximum=maximum,
        seed=run.study.seed,
    )
