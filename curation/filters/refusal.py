"""Drops answers in which a model refuses, or speaks of itself instead of answering."""

from __future__ import annotations

import re
from typing import Final

from curation.core.nemo import Filter

_HEAD: Final = 400
"""Characters from the start of a text that are looked at: a refusal opens a reply."""

_STRAIGHT: Final = str.maketrans("‘’“”", "''\"\"")

_OPENING: Final = r"""[\s"'*_>\#-]* (?: (?:assistant|ai|bot|answer|response) \s*:\s* )?"""
_APOLOGY: Final = r"""(?:
    (?:i'm|i\ am|we're|we\ are)\ (?:\w+\ )?sorry | sorry | i\ (?:\w+\ )?apologi[sz]e | (?:my\ )?apologies
  | unfortunately | regrettably
)(?:\ for\ [^.,;!]{1,60})? [\s,.;:!-]* (?:(?:but|however|as)\b[\s,]*)?"""
_CANNOT: Final = r"""(?:i|we)(?:
    \ ?(?:can't|cannot|can\ not|won't|will\ not) | (?:'m|\ am|'re|\ are)\ (?:unable|not\ able|not\ allowed)\ to
)(?:\ (?:directly|currently|ethically|really|knowingly|in\ good\ conscience|legally))?"""
_REQUEST: Final = r"""(?:
    (?:that|this|your|such(?:\ an?)?)\ (?:\w+\ )?(?:request|question|query|task|prompt|topic)s?
  | that | this
)\b(?!\ (?:is|was|are|were|will|may|can|does|[a-z]+ed)\b)"""

# A text about artificial intelligence, by one who works on it, names a profession next: "As an AI researcher, …".
_SELF: Final = r"""(?:as|i'm|i\ am|being)\ (?:just\ |only\ |merely\ )?an?\ (?:
    (?:ai|artificial\ intelligence)(?:[\ -](?:powered|based))?
        (?:\ (?:language\ |text[\ -]based\ |chat\ |virtual\ )?(?:model|assistant|chatbot|bot|system|program))?
  | (?:large\ )?language\ model | (?:virtual|digital)\ assistant | chatbot
)(?=\s*(?:[,.;:!(-]|$)|\ (?:i|my|and\ i|so\ i|developed|trained|created|made|built|designed|programmed|without)\b)"""

_REFUSALS: Final = (
    rf"(?:{_APOLOGY})? {_SELF}",
    rf"(?:{_APOLOGY})? {_CANNOT}\ (?:help|assist)(?:\ you)?(?:\ (?:with|in|on)\ {_REQUEST} | \s*[.!] | \s*$)",
    rf"""(?:{_APOLOGY})? {_CANNOT}\ (?:fulfil+|complete|comply\ with|process|honou?r|accommodate|satisfy|respond\ to)
         \ (?:that|this|your|such(?:\ an?)?|the|any)\ (?:\w+\ )?(?:request|prompt|query|task)s?\b""",
    rf"""(?:{_APOLOGY})? {_CANNOT}\ (?:provide|offer|give)(?:\ you)?(?:\ with)?\ (?:any\ )?
         (?:information\ or\ \w+|instructions|guidance\ (?:on|for)\ (?:how|illegal|harmful|creating))\b""",
    rf"""{_APOLOGY} {_CANNOT}\ (?:
         (?:help|assist)(?:\ you)?\ (?:with|in|by)
       | (?:provide|offer|give)(?:\ you)?(?:\ with)?\ (?:any\ |specific\ |personal\ )*
         (?:information|assistance|guidance|(?:legal|medical|financial|professional)\ advice|a\ response|that|this|such)
       | (?:generate|create|write|produce|engage\ in|continue\ with|participate\ in|browse|role-?play)
       )\b""",
    rf"(?:{_APOLOGY})? i\ (?:must|have\ to|need\ to)\ (?:\w+\ )?decline\b(?:\s*[.,;!]|\ (?:this|that|your|to)\b)",
    rf"""(?:{_APOLOGY})? i\ (?:don't|do\ not)\ have\ (?:
         the\ (?:ability|capability)\ to\ (?:access|browse|provide|generate|perform|form|feel|assist|help)
       | access\ to\ (?:real-time|the\ internet) | real-time\ (?:access|information|data)
       | personal\ (?:opinions|beliefs|feelings|emotions)
       )\b""",
    r"as\ of\ my\ (?:last|latest|most\ recent)?\ ?(?:knowledge|training)?(?:\ data)?\ ?(?:cut-?off|update)\b",
)
_REFUSAL: Final = re.compile(rf"{_OPENING} (?:{'|'.join(_REFUSALS)})", re.VERBOSE | re.IGNORECASE)


class Refusal(Filter):
    """Drops a text that opens as a model's refusal ("I'm sorry, but I can't assist with that") or disclaimer
    ("As an AI language model, …").

    Only how a text opens counts: people quote such phrases, and ask about them. Their own "I can't help but think",
    "I cannot find a statute" and "As an AI engineer" are no refusals. The phrases are English.
    """

    def score_document(self, text: str) -> float:
        """1.0 for a refusal or a disclaimer, 0.0 for any other text."""
        return float(bool(_REFUSAL.match(text[:_HEAD].translate(_STRAIGHT))))

    def keep_document(self, scores: float) -> bool:
        """Whether it is none."""
        return scores < 1.0
