"""The sentence that follows from both questions about a claim: was it observed, and is it more than
its control?
"""

_MORE = {
    "supported": (", ", "beyond its control"),
    "contradicted": (", ", "but less than its control"),
    "negligible": (", ", "not beyond its control"),
    "undecided": ("; ", "undecided whether beyond its control"),
    "not run": ("; ", "control not run"),
    # accounts of the degree, which answer the second question about one claim
    "artefact": (", ", "and explained by frequency"),
    "slot": (", ", "and explained by context"),
    "class": (", ", "and explained by class, beyond frequency and context"),
}
"""The answer to the second question as the end of a sentence, and what joins it."""
_FIRST = {
    "observed": "observed",
    "observed in part": "observed in part",
    "undecided": "undecided whether observed",
}
"""The answers to the first that a second half can follow."""


def sentence(observed: str | None, beyond: str | None, by: str = "", so_far: bool = False) -> str:
    """Both answers in one clause, such as "observed, and explained by frequency".

    Args:
        observed: the answer to the claim's observations (``rule.overall``); None if it has none.
        beyond: the answer to its comparisons, or the account of the degree; None if it has none.
        by: the reading of "function" that an account is given by.
        so_far: whether rows of the claim were not run though others were; where no control was run,
            the clause says so anyway.
    """
    joiner, more = _MORE.get(beyond or "", ("", ""))
    more += f" ({by})" * bool(by)
    if observed in (None, "not run") or observed == beyond == "undecided":
        alone = beyond in (None, "undecided", "not run")
        said = (beyond or "not run") if alone else more.removeprefix("and ").removeprefix("but ")
    elif observed == "not observed":
        said = observed + ", though beyond its control" * (beyond == "supported")
    else:
        said = f"{_FIRST[observed]}{joiner}{more}"
    return said + ", so far" * (so_far and beyond != "not run")
