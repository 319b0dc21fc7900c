"""Noise without a model: `python -m benchmarks.noise.run [--records N] [--cases N] [--seed N]`.

First how many records of about 60 words one core makes untidy in a second of its time (CPU seconds, so that what else
the machine does counts little): with the noisers of letters and signs, each
alone and all together, and with the default ones. Then random texts of plain and protected pieces, noised with every
noiser at a random rate: each protected piece must come out as often as it went in, and so must the other columns. The
pieces are made here, by rules that know nothing of the patterns which are to find them.
"""

from __future__ import annotations

import argparse
import random
import re
import string
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from curation.core import records
from curation.core.records import REASON, Record
from curation.generators.noise import CONTEXT_NOISERS, NOISERS, Noise

LETTERS: Final = ("typos", "spelling", "ocr", "punctuation", "casing", "spacing")
ROUNDS: Final = 5
PLAIN: Final = re.findall(
    r"\S+",
    "i have received a letter from my landlord about the deposit, and i do not know whether it is right; because of"
    " the situation we really want to talk to the company as soon as possible, but they are not available before the"
    " autumn. for example, their description of the apartment was different, and it seems to be necessary to find out"
    " more about the terms of service in order to make a decision! the neighbours would probably buy the vehicle if"
    " they could, although everybody believes that payments were delayed several times. thanks for any help, the"
    " government department did not separate the documents. people often begin with a number of questions? maybe you"
    " are receiving a reply from both the garden and the kitchen. please tell me if the contract can't be changed",
)
NAMES: Final = re.findall(
    r"\S+",
    "Ashford Barlow Calder Denholm Eastwick Fenwick Garrow Halstead Ingram Jessop Kirkby Lambert Morley Norwood Ogden",
)
TERMS: Final = ("force majeure", "quiet enjoyment", "escrow", "time of the essence", "notice period")


def main() -> int:
    """Prints the figures; 1 if a protected piece was changed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    measure(options.records, options.seed)
    return check(options.cases, options.seed)


# --- Speed ----------------------------------------------------------------------------------------------------------


def measure(count: int, seed: int) -> None:
    """Records (a draft each) a CPU second on one core, the best of some rounds."""
    rng = random.Random(seed)
    made = [records.human(f"r-{number}", title="A title", question=story(rng), answer="No.") for number in range(count)]
    words = sum(len(record["question"].split()) for record in made) / count
    print(f"{count:,} records of {words:.0f} words, records a CPU second, best of {ROUNDS} rounds")
    plans: dict[str, dict[str, Any]] = {name: {"noisers": [name]} for name in LETTERS}
    plans["all of these"] = {"noisers": list(LETTERS)}
    plans["all of these, 4 variants each (drafts/s)"] = {"noisers": list(LETTERS), "variants": 4}
    plans["the default noisers"] = {}
    plans["every noiser"] = {"noisers": list(NOISERS)}
    for name, arguments in plans.items():
        print(f"  {name}: {speed(Noise(**arguments), made):,.0f}")


def story(rng: random.Random) -> str:
    """About 60 words with two names, an amount, a date and a citation, as questions have them."""
    cut = rng.randrange(len(PLAIN))
    words = (PLAIN[cut:] + PLAIN[:cut])[:54]
    for piece in (name(rng), amount(rng), date(rng), section(rng)):
        words.insert(rng.randrange(len(words)), piece)
    return sentences(" ".join(words))


def sentences(text: str) -> str:
    """The text with a capital at the start of each sentence and in `I`."""
    words = text.split(" ")
    starts = [True, *(word[-1] in ".!?" for word in words[:-1])]
    return " ".join(
        word[0].upper() + word[1:] if start or word == "i" else word for word, start in zip(words, starts, strict=True)
    )


def speed(noise: Noise, made: list[Record]) -> float:
    """Drafts a CPU second."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for record in made:
            drafts(noise, record)
        best = min(best, time.process_time() - start)
    return noise.variants * len(made) / best


def drafts(noise: Noise, record: Record) -> list[Record]:
    """What `expand` answers with; it awaits nothing, so no event loop is needed."""
    try:
        noise.expand(record, None).send(None)
    except StopIteration as done:
        return list(done.value)
    raise AssertionError("noise waits for nobody")


# --- Protected spans ------------------------------------------------------------------------------------------------


def check(cases: int, seed: int) -> int:
    """Noises random texts and compares; prints the first changed pieces."""
    start = time.process_time()
    changed = pieces = untouched = 0
    for number in range(cases):
        rng = random.Random(f"{seed}-{number}")
        question, in_question = text_of(rng)
        context, in_context = text_of(rng)
        record = records.human(
            f"c-{number}", title="A title", question=question, answer="The deposit.", context=context
        )
        rates = {name: rng.choice((0.2, 0.6, 1.0)) for name in (*NOISERS, *CONTEXT_NOISERS) if rng.random() < 0.6}
        noise = Noise(noisers=rates or None, seed=seed, terms=TERMS, abbreviations={"purchase order": "PO"})
        (draft,) = drafts(noise, record)
        untouched += REASON in draft
        pieces += len(in_question) + len(in_context)
        for before, after, inside in (
            (question, draft["question"], in_question),
            (context, draft.get("context", context), in_context),
        ):
            for piece in lost(inside, before, after):
                changed += 1
                if changed <= 10:
                    print(f"  case {number}: {piece!r} in {before!r}\n    became {after!r}")
    seconds = time.process_time() - start
    print(f"{cases:,} random cases, {pieces:,} protected pieces: {changed} changed ({untouched} cases without noise)")
    print(f"  {seconds:.0f} s CPU")
    return int(changed > 0)


def lost(pieces: list[str], before: str, after: str) -> list[str]:
    """The pieces that stand in `after` in another number than in `before`."""
    return [piece for piece in pieces if before.count(piece) != after.count(piece)]


def text_of(rng: random.Random) -> tuple[str, list[str]]:
    """A text of some sentences, and the protected pieces in it."""
    words: list[str] = []
    pieces: list[str] = []
    for _ in range(rng.randrange(1, 6)):
        cut = rng.randrange(len(PLAIN))
        part = PLAIN[cut : cut + rng.randrange(1, 14)]
        if rng.random() < 0.8:
            piece = rng.choice(list(PIECES.values()))(rng)
            pieces.append(piece)
            part.insert(rng.randrange(len(part) + 1), rng.choice(WRAPS).format(piece))
        part[-1] += rng.choice(("", ".", "!", "?", ","))
        words += part
    text = sentences(" ".join(word for word in words if word))
    for _ in range(rng.randrange(3)):
        gap = rng.choice((" ", "\n", "\n\n"))
        block = rng.choice(BLOCKS)(rng)
        if rng.random() < 0.3:
            text = f"{text}\n{block}\n" if rng.random() < 0.5 else f"{block}\n{text}"
            pieces.append(block)
        elif not any(". " in piece for piece in pieces):
            text = text.replace(". ", f".{gap}", 1)
    return text, [piece for piece in pieces if piece in text]


WRAPS: Final = ("{}", "{}", "{}", "{},", "({})", "{};")


def digits(rng: random.Random, least: int = 1, most: int = 5) -> str:
    """A number without a leading zero."""
    return str(rng.randrange(10 ** (least - 1), 10 ** rng.randint(least, most)))


def word(rng: random.Random) -> str:
    """Letters that are no word."""
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randrange(3, 9)))


def plain(rng: random.Random) -> str:
    """Some words of prose, without marks."""
    return " ".join(one.strip(".,;!?") for one in rng.choices(PLAIN, k=rng.randrange(2, 7)))


def name(rng: random.Random) -> str:
    """Two or three names in a row, or joined."""
    return rng.choice((" ", " ", " of ", " and ")).join(rng.sample(NAMES, rng.randrange(2, 4)))


def amount(rng: random.Random) -> str:
    """An amount, a share or a quantity."""
    return rng.choice(("£{0},{1:03d}.50", "${0}", "€{0}.{1}", "{0}.{1} %", "{0} days", "{0}th", "-{0}.{1}")).format(
        digits(rng), rng.randrange(1000)
    )


def date(rng: random.Random) -> str:
    """A date or a time."""
    day, month, year = rng.randint(1, 28), rng.choice(("March", "July", "October")), rng.randint(1950, 2049)
    return rng.choice(
        ("{0} {1} {2}", "{1} {0}, {2}", "{2}-07-{0:02d}", "{0}/7/{2}", "{0}.7.{2}", "{0}:{0:02d} pm")
    ).format(day, month, year)


def section(rng: random.Random) -> str:
    """A citation."""
    first, second = rng.sample(NAMES, 2)
    form = rng.choice(
        (
            "§ {0}",
            "§§ {0}-{1}",
            "[{0}]",
            "{2} v. {3}, {0} U.S. {1}",
            "{2} v {3} [{0}] {1} AC 3",
            "section {0}",
            "Art. {0}(1)(f)",
            "{0} U.S.C. § {1}",
            "article {0}",
        )
    )
    return form.format(digits(rng), digits(rng), first, second)


def address(rng: random.Random) -> str:
    """A URL, an address for mail, or a path."""
    form = rng.choice(
        (
            "https://{0}.example/{1}?{2}=1&b=c",
            "http://{0}.org/{1}",
            "www.{0}.com",
            "{0}.{1}@{2}.example",
            "/{0}/{1}.{2}",
            "C:\\{0}\\{1}.txt",
            "~/{0}",
        )
    )
    return form.format(word(rng), word(rng), word(rng))


def quotation(rng: random.Random) -> str:
    """Quoted words."""
    return rng.choice(('"{}"', "“{}”", "«{}»", "'{}'", '"{}. Then {} 5."', "‘{}’")).format(plain(rng), plain(rng))


def inline_code(rng: random.Random) -> str:
    """Code within a line."""
    return rng.choice(("`{0} {1}`", "``{0}` {1}``", "`{0}({1})`", "{0}_{1}", "{0}.{1}()", "--{0}", "{0}={1}")).format(
        word(rng), word(rng)
    )


def command(rng: random.Random) -> str:
    """A shell's command within a line."""
    form = rng.choice(
        ("pip install {0}", "sudo apt-get install {0}", "git clone {0}", "rm -rf {0}", "ls -la | grep {0}")
    )
    return form.format(word(rng))


def identifier(rng: random.Random) -> str:
    """A name of a program's things, or a code."""
    return rng.choice(("{0}_{1}", "{0}Of{1}", "{0}-{2}", "#{0}", "@{0}", "{0}/{1}")).format(
        word(rng), word(rng).title(), digits(rng)
    )


PIECES: Final[Mapping[str, Callable[[random.Random], str]]] = {
    function.__name__: function
    for function in (name, amount, date, section, address, quotation, inline_code, command, identifier)
} | {"term": lambda rng: rng.choice(TERMS)}


def fenced(rng: random.Random) -> str:
    """A block of fenced code."""
    fence = rng.choice(("```", "~~~"))
    return f"{fence}python\nif {word(rng)} is not {word(rng)}:\n    receive( {word(rng)} , {word(rng)} )\n{fence}"


def indented(rng: random.Random) -> str:
    """A block of indented code."""
    return f"    for {word(rng)} in {word(rng)}:\n        because( {word(rng)} )"


def session(rng: random.Random) -> str:
    """Lines of a shell."""
    return rng.choice(
        ("$ {0} do not {1}", ">>> {0} because {1}", "git {0} because", "> {0} do not receive {1}")
    ).format(word(rng), word(rng))


BLOCKS: Final = (fenced, indented, session)


if __name__ == "__main__":
    sys.exit(main())
