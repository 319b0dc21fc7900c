"""What BeautifulSoup with lxml reads in HTML: the yardstick for the words that the HTML modifier finds."""

from __future__ import annotations

from bs4 import BeautifulSoup

PARTING = (
    "address article aside blockquote br caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu nav ol optgroup option p pre search section "
    "summary table td th title tr ul"
)


def words(html: str) -> list[str]:
    """The words of the text outside script, style and template; elements that break a line break a word."""
    soup = BeautifulSoup(html, "lxml")
    for element in soup.find_all(["script", "style", "template"]):
        element.decompose()
    for element in soup.find_all(PARTING.split()):
        element.insert_before(" ")
        element.insert_after(" ")
    return str(soup.get_text()).split()
