"""A prompt for a chat model: the user's turn, rendered with the tokenizer's own template.

The template contains the turn markers and the special tokens, including the separator, and ends
where the assistant's answer begins. So nothing is put before it, and the last function token of
such a prompt usually belongs to the template and not to what the user wrote.
"""

from jinja2 import TemplateError

from functok.encoding.tokenizer import Tokenizer
from functok.runtime.errors import UserError, first_line


def chat_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The ids of ``prompt`` as the user's first turn, up to where the answer begins.

    Raises:
        UserError: if the tokenizer has no chat template, or the template refuses the prompt.
    """
    if not tokenizer.chat_template:
        raise UserError(
            "The tokenizer has no chat template; omit --chat, or give the tokenizer of a chat "
            "model."
        )
    try:
        return tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
    except (TemplateError, ValueError) as error:
        raise UserError(
            f"The tokenizer's chat template cannot be used ({first_line(error)}); omit --chat, or "
            "give another tokenizer."
        ) from error
