"""Closed-class words by language: the linguistic definition that needs no download and no tagger.

A closed class takes no new members: determiners, adpositions, conjunctions, auxiliaries, pronouns,
particles. So its forms can be listed. Each form is listed once, under the class in which it mostly
occurs in running text; its other classes are listed separately (``that``: SCONJ, also PRON and
DET). Class names and borders are those of Universal Dependencies: possessives such as ``my`` are
PRON, ``to`` before an infinitive and ``not`` are PART, ``than`` is ADP.

The English list is meant to be complete for the standard written language; the French, German and
Chinese ones hold the frequent forms. Degree adverbs, number words and interjections are left
out: Universal Dependencies counts them as open classes or apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from functok.runtime.errors import UserError, nearest

CLOSED = ("DET", "ADP", "CCONJ", "SCONJ", "AUX", "PRON", "PART")
"""The closed classes of Universal Dependencies, NUM left out."""


@dataclass(frozen=True)
class Lexicon:
    """Forms of the closed classes of one or more languages."""

    forms: Mapping[str, tuple[str, ...]]
    """Lower-case form → its classes, the commonest first."""

    def first(self, form: str) -> str | None:
        """The commonest class of ``form`` whatever its case; None for an open-class form."""
        found = self.forms.get(form.lower())
        return found[0] if found else None


def lexicon(languages: str | Sequence[str] = "en") -> Lexicon:
    """The built-in lexicon of a language (``en fr de zh``), or of several in one.

    Of a form that several languages share, the language named first decides the class.

    Raises:
        UserError: if there is none for a language.
    """
    forms: dict[str, tuple[str, ...]] = {}
    for language in [languages] if isinstance(languages, str) else languages:
        if language not in _MAIN:
            raise UserError(
                f"There is no built-in lexicon for language {language!r}; "
                f"{nearest(language, _MAIN)}"
            )
        for name, listed in _MAIN[language].items():
            for form in listed.split():
                also = _ALSO[language].get(form, "").split()
                forms.setdefault(form, (name, *also))
    return Lexicon(forms)


_MAIN = {
    "en": {
        "DET": """the a an this these all some any no every each another both half either neither
            such yonder whichever whatsoever""",
        "ADP": """of in for on with at by from up about into over after out through off under
            between against during around down without within upon per like than before since
            along across behind beyond near among amongst towards toward via despite above below
            beneath beside besides inside outside onto except past amid amidst throughout underneath
            unlike versus vs until till opposite alongside aboard atop concerning regarding
            considering including excluding notwithstanding minus plus round according worth as
            astride betwixt apropos pending sans thru barring circa o' 'til""",
        "CCONJ": "and but or nor & yet",
        "SCONJ": """that if because while whether although though unless whereas lest whenever
            wherever once provided 'cause albeit whilst""",
        "AUX": """is was be are will can would have do were has been could should did am may had
            being does might must 's 'm 'll 've 're 'd shall ought cannot 'tis 'twas
            ain't gonna having doing done hath doth hast dost shalt wilt art wert don't doesn't
            didn't isn't aren't wasn't weren't haven't hasn't hadn't can't couldn't won't wouldn't
            shouldn't mustn't mightn't needn't daren't oughtn't""",
        "PRON": """i you it they we my he your me their his what there our who them which him she
            her us its something anyone anything nothing someone everything everyone those
            yourself myself himself herself itself themselves ourselves yourselves oneself
            whatever whoever whomever whom whose nobody somebody everybody anybody none mine
            yours hers ours theirs thee thou thy thine ye thyself 'em y'all
            one's whosoever themself aught naught i'm i've i'll i'd you're you've you'll you'd
            he's he'll he'd she's she'll she'd it's it'll we're we've we'll we'd they're they've
            they'll they'd that's there's what's who's let's""",
        "PART": "to not n't 't",
    },
    "fr": {
        "DET": """le la les l l' un une des du son sa ses cette ce ces cet leur leurs mon ma mes
            ton ta tes notre nos votre vos aucun aucune chaque quelque quelques plusieurs tout
            toute toutes certains certaines quel quelle quels quelles tel telle""",
        "ADP": """de d d' à en dans pour par sur avec comme après entre pendant sans dont avant
            jusqu jusqu' jusque vers depuis contre sous chez selon durant dès malgré envers parmi
            hors au aux devant derrière outre lors grâce voici voilà via""",
        "CCONJ": "et mais ou car ni donc or soit",
        "SCONJ": "que qu qu' quand si lorsque lorsqu' lorsqu puisque quoique afin tandis",
        "AUX": """est été sont était étaient fut furent être étant sera seront serait seraient soit
            soient suis es sommes êtes a ai as avons avez ont avait avaient avoir ayant aura auront
            aurait auraient eut eurent eu fait peut peuvent doit doivent""",
        "PRON": """il elle ils elles on je j j' tu nous vous se s s' y me m m' te t t' lui eux moi
            toi soi qui quoi où c c' ceci cela ça celui celle ceux celles lequel laquelle lesquels
            lesquelles duquel auquel rien personne quelqu'un chacun chacune""",
        "PART": "ne n n' pas",
    },
    "de": {
        "DET": """der die das dem den des ein eine einer einem einen eines kein keine keiner keinem
            keinen keines dieser diese dieses diesem diesen jeder jede jedes jedem jeden seine
            sein seiner seinem seinen seines ihre ihrer ihrem ihren ihres mein meine meiner meinem
            meinen dein deine unser unsere unserer unserem unseren euer eure alle allen aller
            allem einige einigen mehrere viele vielen manche solche welche welcher welches""",
        "ADP": """in von zu mit an auf für nach bei aus über unter vor durch zwischen um bis gegen
            seit während ab wegen ohne pro laut zufolge trotz neben hinter innerhalb außerhalb
            gegenüber aufgrund statt anstatt entlang im am zum zur vom beim ins ans fürs""",
        "CCONJ": "und aber oder sowie als denn sondern doch sowohl weder noch beziehungsweise bzw",
        "SCONJ": """dass daß wenn weil ob nachdem indem bevor obwohl damit sodass falls sobald
            solange wie da""",
        "AUX": """ist war sind waren bin bist seid sei wäre wären gewesen worden wurde wurden
            werden wird würde würden werde hat haben hatte hatten habe hätte hätten kann können
            konnte konnten könnte könnten muss müssen musste mussten soll sollen sollte sollten
            will wollen wollte wollten darf dürfen durfte mag möchte möchten""",
        "PRON": """es er sie sich ich wir man ihm ihn ihnen uns mich mir du dich dir euch was wer
            wen wem dies ihr nichts etwas jemand niemand denen dessen deren selbst""",
        "PART": "nicht",
    },
    "zh": {
        "DET": "这 這 该 該 这些 這些 那些 那 其他 所有 每 每个 每個 另 各 某 任何 整个 整個 此 全",
        "ADP": """在 中 上 对 對 从 從 于 於 与 與 时 時 后 後 为 為 把 之间 之間 前 向 之后 之後
            因 内 內 下 自 当 當 通过 通過 由于 由於 之前 比 将 將 根据 根據 关于 關於 里 裡 以
            到 由 跟 像 对于 對於 按 给 給 用 之中 以来 以來""",
        "CCONJ": "和 以及 及 或 或者 而 并 並 而且 但 但是 还是 還是",
        "SCONJ": "如果 因为 因為 虽然 雖然 尽管 儘管 的话 的話 若 无论 無論",
        "AUX": """了 是 被 会 會 着 著 能 可以 可能 要 过 過 能够 能夠 可 必须 必須 应该 應該
            应 應 不是 不会 不會 不能 需要""",
        "PRON": """他 他们 他們 她 她们 她們 我 我们 我們 它 它们 它們 其 自己 你 你们 你們 您
            什么 什麼 谁 誰 这里 這裡 那里 那裡 这样 這樣 大家""",
        "PART": "的 地 得 之 们 們 吗 嗎 呢 吧 所 等 啊",
    },
}

_ALSO = {
    "en": {
        "that": "PRON DET", "to": "ADP", "this": "PRON", "these": "PRON", "those": "DET",
        "all": "PRON ADV", "some": "PRON", "any": "PRON", "both": "CCONJ", "either": "CCONJ",
        "neither": "CCONJ", "each": "PRON", "another": "PRON", "which": "DET", "what": "DET",
        "as": "SCONJ", "for": "SCONJ", "like": "SCONJ VERB", "than": "SCONJ", "before": "SCONJ",
        "after": "SCONJ", "since": "SCONJ", "until": "SCONJ", "till": "SCONJ", "of": "SCONJ",
        "in": "SCONJ", "with": "SCONJ", "by": "SCONJ", "from": "SCONJ", "on": "SCONJ",
        "because": "ADP", "but": "ADP", "'s": "PART PRON", "have": "VERB", "has": "VERB",
        "had": "VERB", "do": "VERB", "does": "VERB", "did": "VERB", "is": "VERB",
        "being": "VERB NOUN", "will": "NOUN", "can": "NOUN", "may": "PROPN", "might": "NOUN",
        "there": "ADV", "about": "ADV", "over": "ADV", "up": "ADV", "out": "ADV", "down": "ADV",
        "no": "INTJ", "yet": "ADV", "once": "ADV", "her": "DET", "whatever": "DET",
    },
    "fr": {
        "le": "PRON", "la": "PRON", "les": "PRON", "l": "PRON", "l'": "PRON", "que": "PRON ADP",
        "qu": "PRON", "qu'": "PRON", "en": "PRON", "a": "ADP", "ce": "PRON", "leur": "PRON",
        "si": "ADP ADV", "un": "PRON NUM", "tout": "PRON ADV", "soit": "AUX", "de": "DET",
        "des": "ADP", "d": "DET", "d'": "DET", "comme": "SCONJ",
    },
    "de": {
        "der": "PRON", "die": "PRON", "das": "PRON", "den": "PRON", "dem": "PRON", "zu": "PART",
        "als": "SCONJ", "um": "SCONJ", "während": "SCONJ", "bis": "CCONJ", "wie": "CCONJ",
        "sein": "AUX", "ihr": "DET", "ohne": "SCONJ", "da": "ADV", "doch": "ADV",
        "selbst": "ADV", "aus": "ADV",
    },
    "zh": {
        "了": "PART", "这": "PRON", "這": "PRON", "那": "PRON", "被": "ADP", "为": "AUX",
        "為": "AUX", "与": "CCONJ", "與": "CCONJ", "和": "ADP", "之": "PRON", "此": "PRON",
        "是": "VERB", "在": "VERB", "上": "DET", "下": "DET", "前": "DET",
    },
}  # fmt: skip
