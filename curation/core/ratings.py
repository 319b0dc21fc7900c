"""Reads what a judge decided out of any shape of reply: a rating on a scale, or which of two is better.

A judge is asked for a line such as `Score: 3`, and writes `**3**`, `3/3`, `[[3]]`, JSON, a table or a sentence instead.
All of these are read. What may mean another number (two different ratings, a range, a fraction, another scale) is None:
refusing a reply costs one record, a wrong number costs trust in all of them.

A reply is looked at in three ways, and the first that finds anything decides: what is declared (`Score: 3`, "I'd give
this a 3"), a fraction of the scale at the end of a line (`Comprehensive: 3/3`), and a bare number at either end of the
reply, which must not contradict what is declared. Each way collects every rating that it finds, and None for what is
written as one and can't be one; only a single value is an answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from curation.core._parse_text import spoken

__all__ = ["Scale", "read_rating", "read_verdict"]

Scale = tuple[int, int]
"""The lowest and the highest rating."""

_LONGEST: Final = 20_000
"""Characters of a reply that are looked at. What is longer is no rating."""

_NAMES: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER: Final = rf"(?:\d{{1,9}}(?:[.,]\d{{1,9}}){{0,3}}|\b(?:{'|'.join(_NAMES)})\b)"
_RATING: Final = "(?:score|rating|grade)"
_WHATEVER_QUALIFIES: Final = re.compile(
    "an?|the|my|your|this|its|is|final|overall|total|assigned|numeric(?:al)?|resulting|appropriate|quality|helpfulness"
    "|correctness|coherence|complexity|verbosity|pair|answer|response|reply|record|and|so|thus|therefore",
    re.IGNORECASE,
)
"""Words before `score` that leave it the rating which was asked for; a "confidence score" is another."""

# --- one plain text, whatever the markup -----------------------------------------------------------------------------

_FULL_WIDTH: Final = str.maketrans("：／．，＝（）［］｛｝＜＞；！", ":/.,=()[]{}<>;!")
_UNSEEN: Final = re.compile("\ufe0f?\u20e3|[\u200b\u2060\ufeff]")
_FENCE_LINE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[^`\n]*$", re.MULTILINE)
_OPENING_TAG: Final = re.compile(
    rf"<\s*(?:final[ _-]?)?{_RATING}\b(?P<with>[^<>\n]{{0,40}})>"
    rf"|\[\s*(?:(?:start|begin(?:ning)?) of )?(?:the )?(?:final )?{_RATING}\s*\]",
    re.IGNORECASE,
)
_CLOSING_TAG: Final = re.compile(
    rf"<\s*[/\\]\s*(?:final[ _-]?)?{_RATING}\s*>|\[\s*(?:/|end of )\s*(?:the )?(?:final )?{_RATING}\s*\]",
    re.IGNORECASE,
)
_INLINE_TAG: Final = re.compile(r"</?(?:b|strong|i|em|u|span|code|mark|sup|sub)>", re.IGNORECASE)
_TAG: Final = re.compile(r"</?[a-z][a-z_-]{0,20}\s?/?>", re.IGNORECASE)
_BOXED: Final = re.compile(
    rf"\\boxed\s?\{{\s?(?:\\text(?:bf)?\s?\{{\s?)?(?P<in>{_NUMBER}[^{{}}\n]{{0,20}})\}}{{1,2}}"
    rf"|\[\[\s?(?P<bracketed>{_NUMBER}[^\[\]\n]{{0,20}})\]\]"
)
_EMPHASIS: Final = re.compile(r"[*`$\\]+|(?<![^\W_])_+|_+(?![^\W_])")
_TABLE_RULE: Final = re.compile(r"(?=[^-]*-)[\s|:-]+")


def _plain(text: str) -> str:
    """The reply without thoughts and markup; each tag, box or table cell that holds a rating is a line `score: 3`."""
    said = "".join(_western(sign) for sign in spoken(text)).translate(_FULL_WIDTH)
    said = _FENCE_LINE.sub("", _UNSEEN.sub("", said))
    said = _OPENING_TAG.sub(
        lambda tag: f"\nscore ({tag['with']}): " if (tag["with"] or "").strip() else "\nscore: ", said
    )
    said = _TAG.sub("\n", _INLINE_TAG.sub(" ", _CLOSING_TAG.sub("\n", said)))
    said = _BOXED.sub(lambda box: f"\nscore: {box['in'] or box['bracketed']}\n", said)
    return _EMPHASIS.sub(" ", "\n".join(_without_tables(said))).strip()


def _western(sign: str) -> str:
    """A digit of any script as 0 to 9; superscripts and enclosed numbers are none."""
    return str(unicodedata.decimal(sign)) if not sign.isascii() and sign.isdecimal() else sign


def _without_tables(text: str) -> Iterator[str]:
    """The lines of a text; a table's cells as `header: cell`, or as `score: 3` where the row is so called."""
    lines = text.split("\n")
    header: list[str] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if "|" not in line:
            header = []
            yield line
        elif "|" in following and _TABLE_RULE.fullmatch(following):
            header = _cells(line)
        elif not _TABLE_RULE.fullmatch(line):
            yield from _row(header, _cells(line))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _row(header: list[str], cells: list[str]) -> Iterator[str]:
    name = _EMPHASIS.sub(" ", cells[0]).strip()
    if len(cells) > 1 and _NAME_OF_ROW.fullmatch(name):
        yield f"{name.rstrip(':')}: {cells[1]}"
    elif header:
        yield from (f"{title}: {cell}" for title, cell in zip(header, cells, strict=False))
    else:
        yield " | ".join(cells)


_NAME_OF_ROW: Final = re.compile(rf"(?:[a-z]+ )?{_RATING}(?: \([^()]{{0,40}}\))?:?", re.IGNORECASE)

# --- a number that is a rating ---------------------------------------------------------------------------------------

_WHOLE: Final = re.compile(r"(0|[1-9]\d*)(?:\.0+|,0{1,2})?")
_MOST: Final = re.compile(
    r"\s*(?:points?|stars?|marks?)?(?:\s*[(\[]?\s*(?:/|\bof\b)|[\s,–—-]*[(\[]?\s*\bout\s+of\b)\s*"
    rf"(?:(?:an?|the|possible|total|maximum|max|of|full)\s+){{0,4}}(?P<most>{_NUMBER})(?:\s*[)\]])?",
    re.IGNORECASE,
)
_SAME_AGAIN: Final = re.compile(rf"[ \t]*\([ \t]*(?P<again>{_NUMBER})(?P<rest>[ \t]*[^\w\s]|[ \t]+or\b)", re.IGNORECASE)
_ANOTHER_NUMBER: Final = re.compile(
    # A range, a sum, a list, or simply the next number on the line.
    rf"[ \t]*(?:[-–—−~+&,;:→<>=±^|/]+|\.{{2,}}|…|\b(?:to|or|and|minus|plus|vs\.?|versus|through|until)\b)?"
    rf"[ \t]*(?:an?[ \t]+)?{_NUMBER}"
    # Second thoughts.
    rf"|[\s,;(–—-]*\b(?:or|maybe|perhaps|possibly|rather|actually|leaning|bordering|close|nearly|could|might)\b[^.\n]{{0,24}}?{_NUMBER}"
    rf"|[\s,;(–—-]*\b(?:but|however|yet|though|although|no|wait)\b[^.\n]{{0,80}}?\d"
    rf"|[\s,;(]*\bfor\b[^.\n]{{0,80}}?{_NUMBER}[ \t]+for\b"
    # What would be, not what is.
    rf"|[\s,;(]*(?:\bonly[ \t]+)?\b(?:if|unless|had|were|provided)\b"
    # The rubric's levels, one after the other.
    rf"|[ \t]*[=:(–—-][^\n\d]{{0,120}}[,;/|.][ \t]*(?:and[ \t]+|or[ \t]+)?{_NUMBER}[ \t]*[=:(–—-]",
    re.IGNORECASE,
)
_MAY_FOLLOW: Final = re.compile(r"\Z|[\s.,;:!)\]}>\"'”’(|=—–…→]|-(?=[ \t])|、|。")
_OTHER_SCALE: Final = re.compile(
    rf"\bscale\W{{0,5}}(?:(?:is|of|from|between)\W{{1,3}})?"
    rf"(?:(?P<low>{_NUMBER})\s*(?:to|-|–|—|and|\.\.+|/)\s*)?(?P<high>{_NUMBER})"
    rf"|\b(?:max(?:imum)?|highest|best)[ _](?:possible[ _])?(?:{_RATING}|points?)\W{{0,5}}(?:(?:is|of)\s+)?"
    rf"(?P<max>{_NUMBER})"
    rf"|\b(?:max(?:imum)?|total|out[ _]of)[\"']?\s*[:=]\s*[\"']?(?P<bound>{_NUMBER})"
    rf"|(?P<points>{_NUMBER})[ -]points?[ -]scale\b",
    re.IGNORECASE,
)

_SECOND_THOUGHT: Final = re.compile(
    r"\b(?:correction|corrected|on (?:further )?reflection|on second thoughts?|wait,|scratch that|revis\w+"
    r"|reconsider\w*|(?:change|lower|raise|reduce|adjust|downgrade|upgrade)[sd]? (?:this|it|my))(?!\w)"
    rf"[^\n]{{0,80}}?(?P<value>{_NUMBER})",
    re.IGNORECASE,
)


def read_rating(text: str, scale: Scale) -> int | None:
    """The rating that a judge gave.

    Args:
        text: the reply, whole.
        scale: the lowest and the highest rating; only whole numbers between them are read.

    Returns:
        The rating, or None where there is none, more than one, or one that is not on the scale (`2.5`, `4/3`, `6/10`).
    """
    if len(text) > _LONGEST:
        return None
    said = _plain(text)
    if _is_of_another_scale(said, scale):
        return None
    bare = set(_bare(said, scale))
    declared = set(_declared(said, scale))
    # A number that stands by itself is a rating too, where it is one; the parts of a sum are not.
    found = declared | (bare - {None}) if declared else set(_fractions(said, scale)) or bare
    found |= set(_second_thoughts(said, scale)) if found else set()
    return found.pop() if len(found) == 1 else None


def _second_thoughts(said: str, scale: Scale) -> Iterator[int]:
    """Numbers that may replace the one that was given: "Wait, 2 is fairer"."""
    for number in _SECOND_THOUGHT.finditer(said):
        value = _whole(number["value"])
        if value is not None and scale[0] <= value <= scale[1]:
            yield value


def _is_of_another_scale(said: str, scale: Scale) -> bool:
    """Whether the reply names the bounds of a scale, and they are not those of `scale`."""
    low, high = scale
    for match in _OTHER_SCALE.finditer(said):
        points = match["points"]
        if points and _whole(points) not in {high, high - low + 1}:
            return True
        most = match["high"] or match["max"] or match["bound"]
        if (most and _whole(most) != high) or (match["low"] and _whole(match["low"]) != low):
            return True
    return False


def _whole(literal: str) -> int | None:
    """`3`, `3.0` or `three` as a whole number; None for any other."""
    word = literal.lower()
    if word in _NAMES:
        return _NAMES.index(word)
    match = _WHOLE.fullmatch(word)
    return int(match[1]) if match else None


def _rating_at(said: str, number: re.Match[str], scale: Scale) -> tuple[int | None, int]:
    """The rating that a number is, in the light of what follows it, and where it ends with its denominator."""
    low, high = scale
    value, end = _whole(number["value"]), number.end("value")
    again = _SAME_AGAIN.match(said, end)  # three (3)
    if again and (again["rest"].strip() != ")" or _whole(again["again"]) != value):
        return None, end
    end = again.end() if again else end
    most = _MOST.match(said, end)
    if most and _whole(most["most"]) != high:
        return None, end
    end = most.end() if most else end
    is_clear = _MAY_FOLLOW.match(said, end) and not _ANOTHER_NUMBER.match(said, end)
    return (value if is_clear and value is not None and low <= value <= high else None), end


# --- what is declared ------------------------------------------------------------------------------------------------

_KEY: Final = re.compile(
    rf"(?<![^\W_])(?:(?P<rating>{_RATING})|verdict|final answer|evaluation|assessment|judge?ment)(?![^\W_])",
    re.IGNORECASE,
)
_WORD_BEFORE: Final = re.compile(r"([^\W\d_]+)[\"'”’]?[ \t_-]+\Z")
_LINK: Final = re.compile(
    r"""[ \t"'”’\])]*(?:[(\[](?P<note>[^()\[\]\n]{0,40})[)\]])?[ \t"'”’]*"""
    rf"""(?:(?:/|out\s+of)\s*(?P<most>{_NUMBER})[ \t]*)?"""
    rf"""(?:(?:on\s+(?:a|the)\s+scale\s+)?(?:of|from|between)\s+"""
    rf"""(?P<range>{_NUMBER}\s*(?:to|-|–|and)\s*{_NUMBER})[ \t]*)?(?:is(?=[ \t]*:))?[ \t]*"""
    r"""(?P<sign>:|={1,2}>?|-{1,2}>|→|—|-{1,2}(?=\s)|–(?=\s))?\s*"""
    r"""(?:(?:is|of|as|at|was|would\s+be|will\s+be|should\s+be|therefore|thus|an?|solid|strong|clear|full|firm)\s+){0,4}"""
    rf"""(?:<(?=[ \t]*{_NUMBER}[ \t]*>)|[\s"'“‘(\[{{]){{0,4}}(?P<value>{_NUMBER})""",
    re.IGNORECASE,
)
_ENDS_SENTENCE: Final = re.compile(
    r"""\s*(?:\Z|\n|[.,;:!)\]}>"'”’(—–]|-(?=[ \t])"""
    r"""|\b(?:because|since|as|for|due|given|overall|(?:points?|stars?)(?=[ \t]*(?:\Z|[.,;:!)\n]))"""
    r"""|on[ \t]+(?:a|the|this)[ \t]+(?:[\w-]+[ \t]+)?scale)\b)""",
    re.IGNORECASE,
)
_NEW_SENTENCE: Final = re.compile(r"[ \t]+(?:[^a-z\d\s]|(?:but|though|although|with|and|the|it|this|which)\b)")
_ALONE: Final = re.compile(r"[ \t]*[.!)\]}>\"'”’]*[ \t]*(?:\Z|\n)")
_REASON_FOLLOWS: Final = re.compile(
    rf"[ \t]*(?:[-–—,(][ \t]*[^\n]*|because[^\n]*)(?:\Z|\n)(?!\W*{_NUMBER})", re.IGNORECASE
)
_ANNOUNCES: Final = re.compile(r"""["'”’\])\s]*[:=][ \t]*\S""")
_UNREAL: Final = re.compile(
    r"(?:\b(?:not|never|cannot|hardly|without|if|unless|could|might|may)\b|n['’]t\b)[^,.;:!?\n]*\Z"
    r"|\b(?:for|reach|than|below|above|under|requires?|towards?|to\s+(?:get|earn|receive|deserve|merit|be))\s+(?:an?|the)\s+\Z",
    re.IGNORECASE,
)
_GIVES: Final = re.compile(
    r"""\b(?:
      I(?:['’]d|['’]ll|\s+would|\s+will|\s+must|\s+can)?\s+(?:(?:therefore|thus|hereby|honestly|still|then|also)\s+)?
      (?:give|rate|score|grade|assign|award|mark)\b(?:\s+[^\W\d]+){0,6}?
    | (?:this|it|that|pair|response|answer|reply|record)\s+
      (?:(?:clearly|fully|easily|therefore|thus|only|certainly)\s+)?
      (?:deserves|earns|gets|merits|receives|warrants|rates|scores|is\s+(?:rated|scored|graded|worth)|is(?=\s+an?\s))
    | it['’]s(?=\s+an?\s)
    )\s+(?:(?:as|at|with)\s+)?(?:an?\s+)?(?:(?:solid|strong|clear|full|firm)\s+)?["'“(\[]?"""
    rf"(?P<value>{_NUMBER})",
    re.IGNORECASE | re.VERBOSE,
)

_VAGUE: Final = re.compile(
    r"\b(?:than|most|least|almost|nearly|about|around|roughly|above|below|under|over|approximately|not|never|neither"
    r"|either|between|maybe|perhaps|barely)\b|n['’]t\b",
    re.IGNORECASE,
)


def _declared(said: str, scale: Scale) -> Iterator[int | None]:
    """The ratings that are called so, and those of sentences; None where there is a name and no rating behind it."""
    unreadable = False
    readings: list[int | None] = []
    for key in _KEY.finditer(said):
        if not _is_the_rating(said, key):
            continue
        link = _LINK.match(said, key.end())
        if link is None or not (link["sign"] or key["rating"]):
            unreadable = unreadable or _ANNOUNCES.match(said, key.end()) is not None
        elif link["sign"] or not _UNREAL.search(said, max(0, key.start() - 80), key.start()):
            readings += _linked(said, key, link, scale)
    for number in _GIVES.finditer(said):
        if not _UNREAL.search(said, max(0, number.start() - 80), number.start()):
            readings += _given(said, number, scale)
    yield from readings or ([None] if unreadable else [])


def _given(said: str, number: re.Match[str], scale: Scale) -> list[int | None]:
    """The rating of a sentence such as "I'd give it a 3"; none at all where the number counts something."""
    value, end = _rating_at(said, number, scale)
    if value is None or _VAGUE.search(number[0]):
        return [None]
    return [value] if _ENDS_SENTENCE.match(said, end) else []


def _is_the_rating(said: str, key: re.Match[str]) -> bool:
    """Whether the word before a name leaves it the rating that was asked for."""
    before = _WORD_BEFORE.search(said, max(0, key.start() - 40), key.start())
    return before is None or (
        before[1] != "A"  # one of two records
        and _WHATEVER_QUALIFIES.fullmatch(before[1]) is not None
    )


def _linked(said: str, key: re.Match[str], link: re.Match[str], scale: Scale) -> list[int | None]:
    """The rating behind a name; none at all where a sentence only speaks of one ("a score of 3 needs sources")."""
    bounds = re.findall(_NUMBER, " ".join(link[name] or "" for name in ("note", "range", "most")), re.IGNORECASE)
    if bounds and (_whole(bounds[-1]) != scale[1] or len(bounds) > 2 or _whole(bounds[0]) not in scale):
        return [None]
    value, end = _rating_at(said, link, scale)
    if "\n" in said[link.start() : link.start("value")]:
        is_rating = _ALONE.match(said, end) or (link["sign"] and _REASON_FOLLOWS.match(said, end))
        return [value if is_rating else None]
    if _ENDS_SENTENCE.match(said, end) or value is None:
        return [value]
    if link["sign"] and key["rating"]:  # what counts something ("Score: 3 errors") is no rating
        return [value if _NEW_SENTENCE.match(said, end) else None]
    return []


# --- what stands by itself -------------------------------------------------------------------------------------------

_FRACTION: Final = re.compile(rf"[:=→,;(–—-][ \t]*(?P<value>{_NUMBER})(?=\s*(?:/|out\s+of\b)\s*\d)", re.IGNORECASE)
_BARE: Final = re.compile(
    rf"(?:\A|\n)[^\S\n]*(?:[-#>•]+[ \t]+)?[\"'“‘(\[{{]?[ \t]*(?P<value>{_NUMBER})(?P<rest>[^\n]*)", re.IGNORECASE
)
_EXPLAINS: Final = re.compile(
    r"""["'”’)\]]?(?:[.)]?[ \t]*\Z|[ \t]*[,;:—–=(][^\d]|[.)][ \t]+\D|[ \t]+-[ \t]"""
    r"""|[ \t]+(?:because|since|as|due)\b|\n)""",
    re.IGNORECASE,
)
_LIST_ITEM: Final = re.compile(r"^[^\S\n]*\d{1,3}[.):]", re.MULTILINE)
_LONE: Final = re.compile(r"[ \t]*(?:points?|stars?)?[ \t]*[.!)\]}\"'”’]*[ \t]*", re.IGNORECASE)


def _fractions(said: str, scale: Scale) -> Iterator[int | None]:
    """Fractions of the scale behind a sign, where one of them ends a line: `Comprehensive: 3/3`."""
    found = [_rating_at(said, number, scale) for number in _FRACTION.finditer(said)]
    if any(_ALONE.match(said, end) for _, end in found):
        yield from (value for value, _ in found)


def _bare(said: str, scale: Scale) -> Iterator[int | None]:
    """A number that the reply begins with, and those that are all of a line; between other lines only to contradict."""
    last_line = said.rfind("\n") + 1
    for number in _BARE.finditer(said):
        is_first = not said[: number.start("value")].strip(" \t\n\"'“‘([{-#>•")
        value, end = _rating_at(said, number, scale)
        rest = said[end : number.end()]
        if _LONE.fullmatch(rest):
            yield from [value] if is_first or number.end() >= last_line else [value, None]
        elif is_first and (value is None or _explains(said, number["value"], rest)):
            yield value


def _explains(said: str, literal: str, rest: str) -> bool:
    """Whether what follows the number that a reply begins with is its reason, not the rest of a sentence or list."""
    is_marker = rest[:1] in {".", ")", ":"} and (_whole(literal) == 1 or len(_LIST_ITEM.findall(said)) > 1)
    return not is_marker and _EXPLAINS.match(rest) is not None


# --- which of two ----------------------------------------------------------------------------------------------------

_TIE: Final = r"tie|draw|equal|neither|both"
_VERDICT: Final = re.compile(
    rf"(?<![^\W_])(?:verdict|winner|choice|preference|preferred|better|best|final answer|decision)(?![^\W_])"
    rf"[ \t\"'”’\])]*(?::|=>?|->|→|is\b|-(?=\s)|–(?=\s)|—)\s*(?:a\s+(?={_TIE}))?[\"'“‘(\[{{<]{{0,2}}"
    rf"(?:(?:record|answer|response|option|version|text)\s+)?(?P<value>[A-C]\b|(?:{_TIE})\b)(?P<rest>[^\n]*)",
    re.IGNORECASE,
)
_BRACKETED: Final = re.compile(rf"\[\[\s*(?P<value>[A-C]|{_TIE})\s*\]\](?P<rest>)", re.IGNORECASE)
_LONE_VERDICT: Final = re.compile(
    rf"(?:\A|\n)[ \t]*[\"'“(\[]?(?:(?:record|answer|response|option)[ \t]+)?(?P<value>[A-C]|{_TIE})"
    r"[\"'”)\].!]*[ \t]*(?P<rest>)(?=\n|\Z)",
    re.IGNORECASE,
)
_UNDECIDED: Final = re.compile(
    r"[ \t]*(?:\?|\bif\b|(?:[,/|&>=-]+|\bor\b|\band\b|\bmaybe\b|\bperhaps\b)[ \t]*(?:\bor\b|\band\b)?[ \t]*"
    r"[A-C]\b(?![ \t]+[a-z]))"
)
_DECIDED: Final = re.compile(
    r"[ \t\"'”’)\]}>]*(?:\Z|[.,;:!(–—-]|\b(?:is|are|because|since|as|over|wins?|between|A|nor)\b)", re.IGNORECASE
)


def read_verdict(text: str) -> str | None:
    """Which of two a judge prefers: `A`, `B` or `tie` (also written `C`), from `Verdict: A`, `[[A]]` or a line `A`.

    Returns:
        None where the reply says nothing of the kind, or two different things.
    """
    if len(text) > _LONGEST:
        return None
    said = _plain(text)
    declared = [*_BRACKETED.finditer(spoken(text)), *_VERDICT.finditer(said)]
    found = {verdict for match in declared for verdict in _verdicts(match)}
    found = found or {verdict for match in _LONE_VERDICT.finditer(said) for verdict in _verdicts(match)}
    return found.pop() if len(found) == 1 else None


def _verdicts(match: re.Match[str]) -> Iterator[str | None]:
    """The verdict; None for one that is undecided, and none at all where the letter begins another word's sentence."""
    value = match["value"].upper()
    if _UNDECIDED.match(match["rest"]):
        yield None
    elif _DECIDED.match(match["rest"]):
        yield value if value in {"A", "B"} else "tie"
