"""Texts on which tokenizers disagree first: what a fast path is checked against before use.

Each entry has broken some tokenizer library: added tokens spelled inside documents, NULs, long
runs without a space, combining marks, joined emoji, both kinds of line end, digits and quotes in
rows, characters outside the basic plane, blanks of every kind.
"""

from tokenizers import Tokenizer as Backend

RUN = 4096
"""Characters in a run without a break; the tests go to a megabyte."""

_FIXED = (
    "",
    " ",
    "\n",
    "\0",
    "a\0b\0\0 c",
    "  two  spaces   three    end    ",
    "\t\ttabs\t and \n\n\n lines \r\n\r\n CRLF\r\nlone\rreturn\r\n ",
    "a\u00a0b\u2003c\u2028d\u2029e\u200bf\u3000g\ufeffh\u0085i\x0bj\x0ck\x1cl",
    "I'm you're HE'LL we’ve 'S 's's ''' \"q\" ‘x’ “y” it'd'nt",
    "0 12 345 6789 01234567890123456789 3.14159 1,000,000 ½ ²³ ٠١٢٣ 一二三 Ⅷ",
    "e\u0301\u0301 \u0301 a\u0300\u0316\u0301 Z\u0351\u036b\u0343 é é Å Å ﬁ ﬀ ｆｕｌｌ ㎏ ά ά",
    "👩‍👩‍👧‍👦👨🏽‍🚀 🏳️‍🌈🇩🇪🇫🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿 ☺️☺ 1️⃣ 🫠",
    "中文，標點。「引號」没有空格 混合mixed文字123 日本語のテキスト カタカナ 한국어 텍스트",
    "العربية עברית हिन्दी ไทย ქართული Ελληνικά Русский ёЁ İıŞş ßẞ ǅ Tiếng Việt",
    "def f(x):\n    return {'a': x**2, \"b\": [1, 2]}  # ok\n\n\tif x!=y and not z: pass\r\n",
    "<html><p class='x'>&amp; http://a.b/c?d=e&f=g#h user@example.org C:\\dir\\file</p>",
    "!!!???...---___===***///\\\\\\|||~~~```^^^ $€£¥ ©®™ ±×÷ ←→ ∀∃∈ ░▒▓",
    "\U0001d400\U0001d54f \U00020000\U0002a6d6 \ufffd\uffff\ue000\U000f0000\U0010ffff",
    "<unk> <s> </s> [CLS] [SEP] [MASK] <|endoftext|> <|im_start|> <pad> ▁ ▁▁a ## ##a Ġ Ċ Âł <0x0A>",
    "UPPER lower MiXeD camelCase snake_case kebab-case x1y2z3 A1 B-2 don't o'clock",
)


def hostile_texts(tokenizer: Backend) -> list[str]:
    """The fixed texts, long runs, and the tokenizer's own added tokens inside sentences."""
    texts = [*_FIXED]
    texts += [
        unit * (RUN // len(unit)) for unit in ("a", " ", "\n", "中", "ab1", "e\u0301", "=", "🙂")
    ]
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    for token in added[:64]:
        texts += [
            f"a{token}b {token} c  {token}  d",
            f"{token}{token}\n{token}",
            f"{token[:-1]} {token[1:]}{token.upper()} {token.lower()}",
        ]
    return texts
