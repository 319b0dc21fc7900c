"""Why two texts that are near in meaning, as vectors see it, say something different.

Sentence encoders hardly see a changed number, a "not", or two exchanged words: "Celsius to Fahrenheit" is at a cosine
above 0.99 to its reverse. What is checked here are the words alone, by rules and small tables, so it is quick and can
be understood. It errs on one side: a pair without a contrast may still differ, and one with a contrast is kept, which
costs a duplicate at worst.

The tables are of English words. For texts of other languages numbers alone are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

REASONS: Final = ("numbers", "negation", "order")


def _listed(text: str, between: str = " ") -> list[str]:
    """Tables are written as texts, and are read so."""
    return text.split(between)


_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SPACED = str.maketrans({char: " " for char in map(chr, range(128)) if not (char.isalnum() or char == "'")})
_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "−": "-", "–": "-", "‑": "-", "⁄": "/"})
_APART = re.compile("[¼-¾⅐-⅞]|[⁰¹²³⁴-⁹]+|[₀-₉]+")  # in 1½ and 2⁵ are two numbers each

_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)(?:[ -]?([^\W\d_]+|%|°[cf]?))?")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_AFTER_MARKER = re.compile(r"[.)\]]\s")
_SIGNED_AFTER: Final = frozenset(" \t\n(=,*/<>^[{")

_SMALL: Final = {
    word: value
    for value, word in enumerate(
        _listed(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
_TENS: Final = {
    word: 10 * value
    for value, word in enumerate(_listed("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_ROMAN: Final = {"ii": 2, "iii": 3, "iv": 4, "vii": 7, "viii": 8, "ix": 9, "xii": 12}
_CARDINALS: Final = _SMALL | _TENS | _SCALES | _ROMAN
_ORDINALS: Final = {
    word: str(value)
    for value, word in enumerate(
        _listed("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"), start=1
    )
}
_MONTHS: Final = {
    word: str(value)
    for value, words in enumerate(
        _listed(
            "january jan|february feb|march|april apr|may|june jun|july jul|august aug|september sep sept|october oct|"
            "november nov|december dec",
            "|",
        ),
        start=1,
    )
    for word in words.split()
}
_DAYS: Final = {word: word for word in _listed("monday tuesday wednesday thursday friday saturday sunday")}
_ALSO_WORDS: Final = frozenset({"may", "march", "mar"})  # months beside a number only
_NAMES: Final = _ORDINALS | _MONTHS | _DAYS
_COUNTING: Final = frozenset(_CARDINALS)
_NAMING: Final = frozenset(_NAMES)
_UNITS: Final = {
    word: words.split()[0]
    for words in _listed(
        "% percent|g gram grams gramme grammes|kg kilo kilos kilogram kilograms|mg milligram milligrams|"
        "oz ounce ounces|lb lbs pound pounds|l liter liters litre litres|ml milliliter milliliters millilitre "
        "millilitres|cl|gallon gallons|pint pints|cup cups|mm millimeter millimeters millimetre millimetres|cm "
        "centimeter centimeters centimetre centimetres|m meter meters metre metres|km kilometer kilometers kilometre "
        "kilometres|inch inches|ft foot feet|mile miles|ms millisecond milliseconds|s sec secs second seconds|min mins "
        "minute minutes|h hr hrs hour hours|day days|week weeks|month months|year years yr yrs|c °c celsius|"
        "f °f fahrenheit|am|pm|kb|mb|gb|tb|$ usd dollar dollars|€ eur euro euros|£ gbp|¥ yen",
        "|",
    )
    for word in words.split()
}

_CURRENCIES: Final = frozenset("$€£¥")

_CONTRACTED: Final = _listed(
    "ain aren can couldn didn doesn don hadn hasn haven isn mightn mustn needn shan shouldn wasn weren won wouldn"
)
_NEGATORS: Final = frozenset(
    _listed("not no never without neither nor none non cannot nobody nothing nowhere")
    + [stem + ending for stem in _CONTRACTED for ending in ("'t", "t")]
)
_OPPOSED_BY_NOT: Final = (
    "legal/illegal|legally/illegally|lawful/unlawful|safe/unsafe,dangerous|safely/unsafely|possible/impossible|"
    "allowed,permitted,legal/forbidden,prohibited,banned,disallowed|allow,permit/forbid,prohibit,ban,disallow|"
    "able/unable|available/unavailable|certain/uncertain|clear/unclear|common/uncommon|complete/incomplete|"
    "correct/incorrect,wrong|correctly/incorrectly,wrongly|right/wrong|equal/unequal|ethical/unethical|fair/unfair|"
    "happy/unhappy|healthy/unhealthy|known/unknown|likely/unlikely|limited/unlimited|married/unmarried|"
    "necessary/unnecessary|normal/abnormal|paid/unpaid|reasonable/unreasonable|regular/irregular|"
    "relevant/irrelevant|reliable/unreliable|responsible/irresponsible|signed/unsigned|stable/unstable|usual/unusual|"
    "valid/invalid|visible/invisible|willing/unwilling|true/false|agree/disagree|like/dislike|"
    "open/closed,close|pass/fail|passed/failed|alive/dead|guilty/innocent|alcoholic/nonalcoholic|"
    "finite/infinite|filtered/unfiltered|pasteurized/unpasteurized|opened/unopened|sweetened/unsweetened"
)
_OPPOSED: Final = (
    "before/after|more/less,fewer|most/least|increase/decrease,reduce|increases/decreases,reduces|"
    "increased/decreased,reduced|increasing/decreasing,reducing|always/sometimes,rarely|often/rarely,seldom|"
    "all/some|above/below|over/under|up/down|upper/lower|higher/lower|high/low|highest/lowest|on/off|inside/outside|"
    "indoor/outdoor|indoors/outdoors|internal/external|left/right|top/bottom|front/back|north/south|east/west|"
    "northern/southern|eastern/western|early/late|earlier/later|earliest/latest|first/last|start/end,finish,stop|"
    "begin/end,finish|beginning/end|old/new,young|older/newer,younger|oldest/newest,youngest|big,large/small,little|"
    "bigger,larger/smaller|biggest,largest/smallest|long/short|longer/shorter|longest/shortest|fast,quick/slow|"
    "faster,quicker/slower|hot,warm/cold|hotter,warmer/colder,cooler|wet/dry|light/dark,heavy|lighter/darker,heavier|"
    "good/bad|better/worse|best/worst|strong/weak|stronger/weaker|easy/hard,difficult|easier/harder|soft/hard|"
    "cheap/expensive|cheaper/dearer|rich/poor|full/empty|sweet/bitter,sour|positive/negative|same/different|"
    "maximum,max/minimum,min|maximize/minimize|even/odd|plus/minus|add/remove,subtract|adding/removing,subtracting|"
    "addition/subtraction|multiply/divide|multiplication/division|enable/disable|enabled/disabled|"
    "accept/reject,refuse|accepted/rejected,refused|install/uninstall|lock/unlock|encrypt/decrypt|encode/decode|"
    "input/output|upload/download|import/export|push/pull|read/write|send/receive|give/take,receive|buy/sell|"
    "buying/selling|bought/sold|lend/borrow|win/lose|gain/lose|love/hate|advantage/disadvantage|"
    "advantages/disadvantages|pros/cons|public/private|domestic/foreign|day/night|morning/evening|summer/winter|"
    "credit/debit|buyer/seller|buyers/sellers|landlord/tenant|landlords/tenants|employer/employee|"
    "employers/employees|lender/borrower|plaintiff/defendant|teacher/student|teachers/students|husband/wife|"
    "mother/father|son/daughter|brother/sister|man/woman|men/women|male/female|boys/girls|boy/girl"
)

_PIVOTS: Final = frozenset(
    _listed(
        "to into onto from before after than over under above below of in on for by against per through via until "
        "since because instead without"
    )
)
_VERBS: Final = _listed(
    "affect attack beat become cause change contain cost create damage defeat employ exceed follow help hire hit "
    "imply improve include increase influence kill lead love marry need own pay precede prevent produce prove replace "
    "require serve succeed sue support teach use"
)
_STOPS: Final = frozenset(
    _listed(
        "a an the this that these those my your our their his her its i you we they he she it one is are "
        "was were be been being am do does did doing have has had can could should would will shall may might must and "
        "or but if then so as at with about there here what which who whom whose when where why how please just also "
        "very really any some it's i'm i've what's that's there's"
    )
)
_WINDOW: Final = 3  # content words beside a pivot that may be its argument, or after a negator
_ORDER_MAY_CHANGE: Final = 4  # more different words than so many: not the same words in another order

_FOREIGN: Final = frozenset(
    _listed(
        "der die das und ist nicht ein eine ich wie kann den dem zu mit für von el la los las que es un una por para "
        "con como del se le les est une des du et je comment pas pour dans il di che è per sono gli het een van en "
        "niet hoe ik voor o os da do em não uma på och att som är det inte w nie się jest na"
    )
)
_ENGLISH: Final = (_STOPS | _PIVOTS) - _FOREIGN


def contrast(first: str, second: str) -> str | None:
    """Why two near texts are no duplicates of each other: the first of `REASONS` that holds, or None.

    - `numbers`: their numbers differ, in any order. `1,000`, `1000`, `a thousand` are equal, and so are `5th`, `5`,
      `five`, `V60` and `60`, `May 5` and `5/5`; `3.10` and `3.1` are not (versions). Numbering at the start of a line
      does not count. `one`, ordinals, days, months and a number that may be numbering (`… 2) …`) count only against
      another number: leaving one out is no contrast. Equal numbers with different units (`5 am`, `5 pm`) are one.
    - `negation`: one of them has more negators (`not`, `n't`, `never`, `without`, …), or negates what the other does
      not, or a word is exchanged for its opposite (`before`, `after`). `not legal` and `illegal` agree.
    - `order`: nearly the same words, of which two are exchanged about a preposition or a verb that has a direction:
      `A to B` and `B to A`, `A sues B` and `B sues A`. A clause or an adverb that was moved exchanges nothing.

    It is symmetric, and does not depend on case. About 20 µs a text of 60 words.
    """
    if first == second:
        return None
    one, other = _Text.of(first), _Text.of(second)
    if _numbers_differ(one, other):
        return "numbers"
    if one.words == other.words:
        return None
    reason = "negation" if _negations_differ(one, other) else "order" if _order_differs(one, other) else None
    return reason if reason and one.is_english and other.is_english else None


def firm_numbers(text: str) -> tuple[str, ...] | None:
    """A text's numbers, where they alone decide: two texts of which these differ have the contrast `numbers`.

    None: it has some that count only against others, so that it takes both texts to tell.
    """
    found = _Numbers.of(_Text.of(text))
    return None if found.soft else tuple(found.firm)


@dataclass(slots=True)
class _Text:
    plain: str
    words: list[str]
    seen: frozenset[str]

    @classmethod
    def of(cls, text: str) -> _Text:
        if text.isascii():
            plain = text.lower()
            spaced = f" {plain.translate(_SPACED)} "  # thrice as fast as the regular expression
            words = (spaced.replace(" '", " ").replace("' ", " ") if "'" in spaced else spaced).split()
        else:
            plain = _plain(text)
            words = _WORD.findall(plain)
        return cls(plain, words, frozenset(words))

    @property
    def is_english(self) -> bool:
        """Whether it has not more of the small words of other languages than of those of English."""
        return len(self.seen & _FOREIGN) <= len(self.seen & _ENGLISH)


def _plain(text: str) -> str:
    apart = _APART.sub(lambda match: f" {unicodedata.normalize('NFKC', match[0])} ", text)
    return unicodedata.normalize("NFKC", apart).casefold().translate(_TYPOGRAPHY)


@dataclass(slots=True)
class _Numbers:
    """What a text has of numbers: those that count, those that count against others only, and units by number."""

    firm: list[str] = field(default_factory=list)
    soft: list[str] = field(default_factory=list)
    units: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, text: _Text) -> _Numbers:
        found = cls()
        if _DIGIT.search(text.plain):
            found._add_written(text.plain)
        found._add_spoken(text)
        found.firm.sort()
        found.soft.sort()
        found.units.sort()
        return found

    def _add_written(self, plain: str) -> None:
        for match in _NUMBER.finditer(plain):
            digits, unit = match.groups()
            before = plain[max(0, match.start() - 2) : match.start()]
            values = _values(digits, before)
            if unit in _SCALES:
                values[-1:] = [_scaled(values[-1], _SCALES[unit])]
            perhaps = len(digits) <= 2 and not unit and _AFTER_MARKER.match(plain, match.end())
            if perhaps and not plain[plain.rfind("\n", 0, match.start()) + 1 : match.start()].strip(" \t(["):
                continue  # it numbers a line
            (self.soft if perhaps else self.firm).extend(values)
            known = _UNITS.get(before[-1:] if before[-1:] in _CURRENCIES else unit or "")
            if known:
                self.units.append((values[-1], known))

    def _add_spoken(self, text: _Text) -> None:
        if not text.seen.isdisjoint(_COUNTING):
            for number in _cardinals(text.words):
                (self.soft if number == 1 else self.firm).append(str(number))
        if not text.seen.isdisjoint(_NAMING):
            self.soft.extend(_named(text.words))


def _named(words: Sequence[str]) -> Iterator[str]:
    """Ordinals, days and months."""
    for place, word in enumerate(words):
        if word in _NAMES and (word not in _ALSO_WORDS or _beside_number(words, place)):
            yield _NAMES[word]


def _beside_number(words: Sequence[str], place: int) -> bool:
    return _is_decimal(words, place - 1) or _is_decimal(words, place + 1)


def _values(digits: str, before: str) -> list[str]:
    """What is written as one run of digits, points and commas, after the two characters `before`."""
    if not digits.isascii():
        digits = "".join(char if char in ".," else str(unicodedata.decimal(char)) for char in digits)
    values = [digits.replace(",", "")] if _THOUSANDS.fullmatch(digits) else digits.split(",")
    if before[-1:] == "." and not before[:-1].isalnum():
        values[0] = f"0.{values[0]}"
    values = [_trimmed(value) for value in values]
    if before[-1:] == "-" and (before[:-1] in _SIGNED_AFTER or len(before) == 1):
        values[0] = f"-{values[0]}"
    return values


def _trimmed(value: str) -> str:
    """Without leading zeros, and without a fraction of zeros alone; other zeros tell versions apart."""
    whole, point, fraction = value.partition(".")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if point and fraction.strip("0") else whole


def _scaled(value: str, scale: int) -> str:
    try:
        return f"{float(value) * scale:.10g}"
    except ValueError:  # a date or a version
        return value


def _cardinals(words: Sequence[str]) -> Iterator[int]:
    """The numbers that are written as words: `two hundred and five` is one, `two, three` are two."""
    run: list[int] = []
    for place, word in enumerate(words):
        value = _CARDINALS.get(word)
        if word == "and" and run and run[-1] >= 100:
            continue
        if run and (value is None or not _goes_on(run[-1], value)):
            yield _sum(run)
            run = []
        if value is not None and (value < 100 or not _is_decimal(words, place - 1)):  # see _scaled for `5 thousand`
            run.append(value)
    if run:
        yield _sum(run)


def _goes_on(last: int, value: int) -> bool:
    if value >= 100:
        return value > last
    return last >= 100 or (last >= 20 and 0 < value < 10)


def _sum(run: Iterable[int]) -> int:
    total = current = 0
    for value in run:
        if value >= 1000:
            total, current = total + max(current, 1) * value, 0
        else:
            current = max(current, 1) * value if value == 100 else current + value
    return total + current


def _is_decimal(words: Sequence[str], place: int) -> bool:
    return 0 <= place < len(words) and words[place][0].isdecimal()


def _numbers_differ(one: _Text, other: _Text) -> bool:
    mine, theirs = _Numbers.of(one), _Numbers.of(other)
    if mine.firm == theirs.firm and mine.soft == theirs.soft:
        return mine.units != theirs.units and len(mine.units) == len(theirs.units)
    counts, others = Counter(mine.firm + mine.soft), Counter(theirs.firm + theirs.soft)
    more, fewer = counts - others, others - counts
    return bool((more and fewer) or more - Counter(mine.soft) or fewer - Counter(theirs.soft))


def _table(*tables: str) -> dict[str, frozenset[str]]:
    """The opposites of each word."""
    opposites: dict[str, set[str]] = {}
    for entry in "|".join(tables).split("|"):
        left, right = (side.split(",") for side in entry.split("/"))
        for words, against in ((left, right), (right, left)):
            for word in words:
                opposites.setdefault(word, set()).update(against)
    return {word: frozenset(against) for word, against in opposites.items()}


_OPPOSITES: Final = _table(_OPPOSED_BY_NOT, _OPPOSED)
_NEGATED: Final = _table(_OPPOSED_BY_NOT)
_POLAR: Final = frozenset(_OPPOSITES)


def _negations_differ(one: _Text, other: _Text) -> bool:
    mine, theirs = _negated(one), _negated(other)
    exchanged = _exchanged(one, other)
    if any(pair[1] not in _NEGATED.get(pair[0], ()) for pair in exchanged):
        return True
    if len(mine) != len(theirs):  # "not legal" and "illegal" agree, and so do "possible" and "not impossible"
        return abs(len(mine) - len(theirs)) != len(exchanged)
    return bool(exchanged) or (_negates_alone(mine, theirs, other) and _negates_alone(theirs, mine, one))


def _negates_alone(mine: Iterable[list[str]], theirs: Iterable[list[str]], other: _Text) -> bool:
    """Whether a word is negated here that the other text has, but not shortly after a negator."""
    near = {word for words in theirs for word in words}
    return any(words and words[0] in other.seen and words[0] not in near for words in mine)


def _negated(text: _Text) -> list[list[str]]:
    """For each negator the content words shortly after it, of which the first one is what it negates."""
    if text.seen.isdisjoint(_NEGATORS):
        return []
    words = text.words
    found = []
    for place, word in enumerate(words):
        if word not in _NEGATORS:
            continue
        before, after = words[place - 1] if place else "", words[place + 1] if place + 1 < len(words) else ""
        idle = (
            (before == "or" and word in ("not", "no"))  # whether or not
            or (word == "not" and after == "only")
            or (word == "no" and (after in ("matter", "doubt") or after[:1].isdecimal()))
            or (word == "nor" and "neither" in text.seen)
        )
        if not idle:
            found.append([near for near in words[place + 1 : place + 6] if near not in _STOPS][:_WINDOW])
    return found


def _exchanged(one: _Text, other: _Text) -> list[tuple[str, str]]:
    """Words of which `one` has more, each with an opposite of which `other` has more."""
    polar = (one.seen & _POLAR) | (other.seen & _POLAR)
    opposed = [word for word in polar if not _OPPOSITES[word].isdisjoint(polar)]
    surplus = {word: one.words.count(word) - other.words.count(word) for word in opposed}
    more = sorted(word for word, count in surplus.items() if count > 0)
    fewer = {word for word, count in surplus.items() if count < 0}
    return [(word, min(_OPPOSITES[word] & fewer)) for word in more if _OPPOSITES[word] & fewer]


def _inflected(verb: str) -> Iterator[tuple[str, str]]:
    stem = verb.removesuffix("e")
    for form in (verb, f"{verb}s", f"{stem}ed", f"{stem}ing"):
        yield form, verb


_DIRECTED: Final = {pivot: pivot for pivot in _PIVOTS} | {
    form: verb for base in _VERBS for form, verb in _inflected(base)
}
_Arguments = dict[str, list[tuple[list[str], list[str]]]]


def _order_differs(one: _Text, other: _Text) -> bool:
    if len((one.seen ^ other.seen) - _STOPS) > _ORDER_MAY_CHANGE or not _moved(one.words, other.words):
        return False
    mine, theirs = _arguments(one.words), _arguments(other.words)
    return any(_swapped(mine[pivot], theirs[pivot]) for pivot in mine.keys() & theirs.keys()) or _turned(mine, theirs)


def _moved(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether between what the texts begin and end with alike they share a word: else none has another place."""
    least = min(len(words), len(others))
    start = next((place for place in range(least) if words[place] != others[place]), least)
    end = next((place for place in range(least - start) if words[-1 - place] != others[-1 - place]), least - start)
    return not set(words[start : len(words) - end]).isdisjoint(others[start : len(others) - end])


def _arguments(words: Sequence[str]) -> _Arguments:
    """For each pivot the content words before it, back to the pivot before, and after it, up to the next one."""
    content = [word for word in words if word not in _STOPS]
    found: _Arguments = {}
    left: list[str] = []
    right: list[str] = []
    for place, word in enumerate(content):
        pivot = _DIRECTED.get(word)
        if pivot is None or content[place + 1 : place + 2] == ["by"]:  # in "sued by" the pivot is "by"
            left.append(word if len(word) < 4 else word.removesuffix("s").removesuffix("'"))
            if len(right) < _WINDOW:
                right.append(left[-1])
        else:
            right = []
            found.setdefault(pivot, []).append((left[-_WINDOW:], right))
            left = []
    return found


def _swapped(mine: Iterable[tuple[list[str], list[str]]], theirs: Sequence[tuple[list[str], list[str]]]) -> bool:
    """Whether what stands before a pivot in one text stands after it in the other, and the other way round.

    What it governs, the first word after it, must be among them: else something was moved past pivot and all.
    """
    for left, right in mine:
        for before, after in theirs:
            head, other = _head(left, right), _head(before, after)
            if head != other and head in before and other in left:
                return True
    return False


def _head(left: Sequence[str], right: Iterable[str]) -> str | None:
    return next((word for word in right if word not in left), None)


def _turned(mine: _Arguments, theirs: _Arguments) -> bool:
    """Whether where something comes from in one text is where it goes to in the other: "to A from B", "from A to B"."""
    if not all({"from", "to"} <= found.keys() for found in (mine, theirs)):
        return False
    origin, goal, start, end = (found[pivot][0][1] for found in (mine, theirs) for pivot in ("from", "to"))
    return origin[:1] == end[:1] != goal[:1] == start[:1] != []
