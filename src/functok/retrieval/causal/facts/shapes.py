"""Facts of any known shape, recognised by the content alone.

====================  ===========================================================================
shape                 what tells it
====================  ===========================================================================
pairs                 rows with prompt, counterfactual, answer, counterfactual_answer
plain facts           rows with relation, subject, answer
``known_1000``        rows with prompt, subject, attribute, relation_id
in-context            rows with base_prompt, prompt, target_true, target_new
relations             an object with name, prompt_templates, samples
RAVEL                 an object of objects of texts, and one of lists of texts with ``%s``
====================  ===========================================================================
"""

import re
from collections.abc import Callable, Sequence

from functok.retrieval.causal.facts.fact import SLOT, Fact, Frame
from functok.retrieval.causal.facts.rows import Row, text_in
from functok.runtime.errors import UserError, require

Found = tuple[list[Fact], list[Frame]]


def facts_in(contents: Sequence[tuple[str, Row | list[Row]]]) -> Found:
    """The facts and frames of some files.

    Args:
        contents: a file's name, and what it holds (see ``rows.read_content``).

    Raises:
        UserError: for a file of no known shape, or one that lacks what its shape needs.
    """
    facts: list[Fact] = []
    frames: list[Frame] = []
    entities, templates = {}, {}
    for name, content in contents:
        if isinstance(content, dict) and not _fields_of(content):
            if "samples" in content:
                found = _relation(name, content)
            elif content and all(isinstance(value, dict) for value in content.values()):
                entities[name], found = content, ([], [])
            elif content and all(isinstance(value, list) for value in content.values()):
                templates[name], found = content, ([], [])
            else:
                raise _unknown(name, list(content))
        else:
            found = _rows(name, [content] if isinstance(content, dict) else content)
        facts += found[0]
        frames += found[1]
    if entities or templates:
        found = _ravel(entities, templates)
        facts += found[0]
        frames += found[1]
    return facts, frames


def _rows(name: str, rows: list[Row]) -> Found:
    require(bool(rows), f"{name} holds no facts; give at least two of one relation.")
    fields = _fields_of(rows[0])
    if not fields:
        raise _unknown(name, list(rows[0]))
    facts: list[Fact] = []
    frames: list[Frame] = []
    for number, row in enumerate(rows, start=1):
        where = f"row {number} of {name}"
        fact, frame = _ROWS[fields]({field: text_in(row, field, where) for field in fields}, row)
        facts.append(fact)
        if frame is not None:
            frames.append(frame)
    return facts, frames


def _fields_of(row: Row) -> tuple[str, ...]:
    """The fields by which a row's shape is known; none of an unknown one."""
    return next((fields for fields in _ROWS if set(fields) <= set(row)), ())


def _unknown(name: str, fields: list[str]) -> UserError:
    return UserError(
        f"{name} has facts in an unknown format (its fields are "
        f"{', '.join(map(str, fields))[:200]}); give rows with prompt, counterfactual, "
        "answer and counterfactual_answer, or with relation, subject and answer."
    )


def _pair(texts: dict[str, str], row: Row) -> tuple[Fact, Frame]:
    """Two prompts: what they have in common is the frame, where they differ is the subject."""
    before, one, other, after = _difference(texts["prompt"], texts["counterfactual"])
    frame = before + SLOT + after
    relation = str(row.get("relation") or frame)
    answers = texts["answer"], texts["counterfactual_answer"]
    return Fact(relation, one, answers[0], other, answers[1]), Frame(relation, frame)


def _difference(prompt: str, counterfactual: str) -> tuple[str, str, str, str]:
    """What comes before the words that differ, these words in each prompt, and what follows.

    Where one prompt has nothing there, a word of both belongs to the subject.
    """
    require(
        prompt != counterfactual,
        f"The prompt {prompt!r} and its counterfactual are the same; ask about another subject.",
    )
    one, other = (re.findall(r"\w+|\W", text) for text in (prompt, counterfactual))
    shortest = min(len(one), len(other))
    alike = next((i for i in range(shortest) if one[i] != other[i]), shortest)
    cuts = [(first, _alike_at_end(one[first:], other[first:])) for first in range(alike, -1, -1)]
    for first, last in [*cuts, (alike, 0), (0, 0)]:
        parts = ["".join(text[first : len(text) - last]) for text in (one, other)]
        if parts[0].strip() and parts[1].strip():
            break
    before, after = "".join(one[:first]), "".join(one[len(one) - last :])
    if all(part.startswith(" ") for part in parts):
        before, parts = before + " ", [part[1:] for part in parts]
    if all(part.endswith(" ") for part in parts):
        after, parts = " " + after, [part[:-1] for part in parts]
    return before, parts[0], parts[1], after


def _alike_at_end(one: list[str], other: list[str]) -> int:
    shortest = min(len(one), len(other))
    return next((i for i in range(shortest) if one[-1 - i] != other[-1 - i]), shortest)


def _plain(texts: dict[str, str], row: Row) -> tuple[Fact, None]:
    others = [
        str(row.get(f"counterfactual_{name}") or "").strip() for name in ("subject", "answer")
    ]
    require(
        bool(others[0]) == bool(others[1]),
        f"The fact about {texts['subject']!r} has half a counterfactual; give both "
        "counterfactual_subject and counterfactual_answer, or neither.",
    )
    fact = Fact(*(texts[name] for name in ("relation", "subject", "answer")))
    return (Fact(fact.relation, fact.subject, fact.answer, *others) if others[0] else fact), None


def _known(texts: dict[str, str], row: Row) -> tuple[Fact, Frame]:
    subject, prompt = texts["subject"], texts["prompt"]
    require(subject in prompt, f"The prompt {prompt!r} does not name its subject {subject!r}.")
    fact = Fact(texts["relation_id"], subject, texts["attribute"])
    return fact, Frame(fact.relation, prompt.replace(subject, SLOT, 1))


def _in_context(texts: dict[str, str], row: Row) -> tuple[Fact, Frame]:
    """What differs is the attribute that the prompt states before it asks."""
    said = f"{texts['base_prompt']} {texts['target_new']}"
    require(said in texts["prompt"], f"The prompt {texts['prompt']!r} does not say {said!r} first.")
    frame = texts["prompt"].replace(said, f"{texts['base_prompt']} {SLOT}", 1)
    new, true = texts["target_new"], texts["target_true"]
    return Fact(frame, new, new, true, true), Frame(frame, frame)


_ROWS: dict[tuple[str, ...], Callable[[dict[str, str], Row], tuple[Fact, Frame | None]]] = {
    ("base_prompt", "prompt", "target_true", "target_new"): _in_context,
    ("prompt", "subject", "attribute", "relation_id"): _known,
    ("prompt", "counterfactual", "answer", "counterfactual_answer"): _pair,
    ("relation", "subject", "answer"): _plain,
}


def _relation(name: str, content: Row) -> Found:
    relation = text_in(content, "name", name)
    samples, frames = content["samples"], []
    for key in ("prompt_templates", "prompt_templates_zs"):
        frames += [str(text).strip() for text in content.get(key) or []]
    require(
        isinstance(samples, list) and all(isinstance(sample, dict) for sample in samples),
        f"The samples of {name} are not a list of objects; give objects with subject and object.",
    )
    facts = [
        Fact(relation, text_in(sample, "subject", where), text_in(sample, "object", where))
        for number, sample in enumerate(samples, start=1)
        for where in [f"sample {number} of {name}"]
    ]
    return facts, [Frame(relation, text) for text in frames]


def _ravel(entities: dict[str, Row], templates: dict[str, Row]) -> Found:
    """Entities with attributes, and prompts for each attribute."""
    require(
        bool(entities) and bool(templates),
        f"{', '.join([*entities, *templates])} needs its companion: RAVEL's attributes of entities "
        "and its prompts are in two files; give the folder that holds both.",
    )
    texts = {
        attribute: [str(text).strip().replace("%s", SLOT) for text in some if "%s" in str(text)]
        for content in templates.values()
        for attribute, some in content.items()
    }
    facts = [
        Fact(attribute, entity, text_in(values, attribute, f"entity {entity!r} of {name}"))
        for name, content in entities.items()
        for entity, values in content.items()
        for attribute in values
        if attribute in texts
    ]
    return facts, [Frame(attribute, text) for attribute, some in texts.items() for text in some]
