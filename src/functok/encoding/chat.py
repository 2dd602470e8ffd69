"""A prompt for a chat model: the user's turn, rendered with the tokenizer's own template.

The template contains the turn markers and the special tokens, including the separator, and ends
where the assistant's answer begins. So nothing is put before it, and the last function token of
such a prompt usually belongs to the template and not to what the user wrote.

Some templates take a message's content as text, some as a list of parts, and either kind may drop
the other without a word; so the rendered text is searched for the prompt's words.
"""

import re
from typing import Any

from functok.encoding.backend.bulk import untruncated
from functok.encoding.tokenizer import Tokenizer
from functok.runtime.errors import UserError, first_line

_A_PART = re.compile("""['"]type['"]: ['"]text""")


def chat_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The ids of ``prompt`` as the user's first turn, up to where the answer begins.

    Raises:
        UserError: if the tokenizer has no chat template, or the template fails on the prompt or
            leaves it out.
    """
    if not tokenizer.chat_template:
        raise UserError(
            "The tokenizer has no chat template; omit --chat, or chat in the study, or give the "
            "tokenizer of a chat model."
        )
    failures: list[str] = []
    for content in (prompt, [{"type": "text", "text": prompt}]):
        try:
            rendered = _rendered(tokenizer, content)
        except Exception as error:  # whatever a template can be made to raise
            failures.append(first_line(error))
            continue
        if _holds(rendered, prompt):
            backend = untruncated(tokenizer.backend_tokenizer)
            return backend.encode(rendered, add_special_tokens=False).ids
        failures.append("it drops the prompt")
    raise UserError(
        f"The tokenizer's chat template cannot be used ({failures[0]}); omit --chat, or chat in "
        "the study, or give another tokenizer."
    )


def _rendered(tokenizer: Tokenizer, content: str | list[dict[str, Any]]) -> str:
    messages = [{"role": "user", "content": content}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def _holds(rendered: str, prompt: str) -> bool:
    """Whether the prompt is there, blanks and quoting apart: its words, one after another."""
    if _A_PART.search(rendered) and not _A_PART.search(prompt):
        return False  # a list of parts, printed as it is
    place = 0
    for word in re.findall(r"\w+", prompt) or [prompt.strip()]:
        place = rendered.find(word, place)
        if place < 0:
            return False
        place += len(word)
    return True
