from __future__ import annotations

import json
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.modifiers.html import Html
from tests.modifiers.html_oracle import PARTING, words
from tests.shared_data import shared_data

clean = Html().modify_document

LAYOUT = {
    "<p>one</p><p>two</p>": "one\n\ntwo",
    "before<p>one</p>after": "before\n\none\n\nafter",
    "<div>one</div><div>two</div>": "one\ntwo",
    "<div>one<div>two</div>three</div>": "one\ntwo\nthree",
    "<p>list:</p><ul><li>a</li><li>b <b>c</b></li></ul><p>end</p>": "list:\n\na\nb c\n\nend",
    "a<br>b<br/>c": "a\nb\nc",
    "a<br><br>b<br><br><br>c": "a\n\nb\n\nc",
    "<p>a<br></p><p>b</p>": "a\n\nb",
    "<h1>Title</h1>text": "Title\n\ntext",
    "a<hr>b": "a\n\nb",
    "<table><tr><th>h</th><td>1</td></tr><tr><td>x</td><td>y z</td></tr></table>": "h\t1\nx\ty z",
    "wo<b>r</b>d, <i>it</i>alic <code>f(x)</code>.": "word, italic f(x).",
    "<p>  many \n\t spaces&nbsp; here </p>": "many spaces here",
    "<b>a</b> <i>b</i>": "a b",
    "<p>see:</p><pre><code>def f(x):\n    return  x\n</code></pre><p>ok</p>": "see:\n\ndef f(x):\n    return  x\n\nok",
    "<pre>\n  first\n\n  third  \n</pre>": "  first\n\n  third",
    "<pre>a<br>  b</pre>c": "a\n  b\n\nc",
    "<PRE>x  y</PRE>": "x  y",
    "<p>a<script>var x = '<p>';</script>b<style>p{}</style><template><p>t</p></template>c</p>": "abc",
    "a<!-- <p>hidden</p> -->b": "ab",
    '<a href="http://x.y/z?a&amp;b">link</a> <img src="i.png" alt="hidden">': "link",
    "<title>T</title><p>x</p>": "T\n\nx",
    "<select><option>a<option>b</select>": "a\nb",
}


@pytest.mark.parametrize("html", LAYOUT)
def test_layout(html: str) -> None:
    assert clean(html) == LAYOUT[html]


ADVERSARIAL = [
    *LAYOUT,
    "<p>unclosed <b>bold <i>both</b> italic</i> <p>next",
    "<div><span>a</div>b</span>c",
    "<p>1 < 2 and 3 > 2 &amp;&amp; x <3 y</p>",
    "<p>if a&lt;b then &lt;code&gt; &amp;lt;</p>",
    "&lt;script&gt;alert(1)&lt;/script&gt;<p>x</p>",
    "<p>&eacute;&#233;&#xe9; &copy; &hellip;</p>",
    "<p>caf\u00e9 \u4f60\u597d \U0001f600 <em>\u202bRTL\u202c</em></p>",
    "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>",
    "<blockquote><p>quoted</p>\n<p>twice</p></blockquote>said",
    "<dl><dt>term</dt><dd>meaning</dd></dl>",
    "<table><tr><td>a<table><tr><td>b</td></tr></table></td><td></td><td>c</td></tr></table>",
    "<p>a</p><script>if (a < b) { document.write('<p>no</p>') }</script><p>b</p>",
    "<style>\np > a { color: red }\n</style>text<p>x</p>",
    "<p title=\"a > b\" class='<p>'>attributes</p>",
    "<!-- a -- b --><p>x</p><!-- c -->",
    "<noscript><p>no script</p></noscript><p>x</p>",
    "<html><head><title>t</title></head><body><p>whole</p></body></html>",
    "<!DOCTYPE html><html><body>doctype<p>x</p></body></html>",
    "<p>a</p>\r\n\r\n<p>b\r\nc</p>",
    "<p></p><p> </p><div></div>",
    "<h2>a</h2><ol><li><p>b</p><pre>c\n d</pre></li></ol>",
    "<p>tail</p> after <a name=x>anchor</a>",
    "<figure><img src=x><figcaption>caption</figcaption></figure><address>here</address>",
    "<p>nested <a>a <a>b</a></a></p>",
    "<font color=red>old</font><center>mid</center><p>x</p>",
]


@pytest.mark.parametrize("html", ADVERSARIAL)
def test_finds_the_words_that_beautifulsoup_finds(html: str) -> None:
    assert clean(html).split() == words(html)


@pytest.mark.slow
def test_finds_the_words_that_beautifulsoup_finds_in_real_posts() -> None:
    checked = 0
    for file in sorted((shared_data() / "stackexchange").glob("*.json")):
        for row in json.loads(file.read_text()):
            for html in (row["question_title"], row["question_body"], *(answer["body"] for answer in row["answers"])):
                assert clean(html).split() == words(html)
                checked += 1
    assert checked > 5000


@st.composite
def fragments(draw: st.DrawFn) -> str:
    """Well-formed HTML: what lxml and the standard's parser agree on."""
    text = st.sampled_from(["word", " ", "\n", "  two words ", "&lt;b&gt;", "&amp;", "&nbsp;", "caf\u00e9", "<br>"])
    inline = st.sampled_from(["b", "i", "em", "code", "span"])
    block = st.sampled_from(["div", "blockquote", "section"])

    def nest(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        inside = st.lists(children, max_size=4).map("".join)
        return st.builds(lambda tag, body: f"<{tag}>{body}</{tag}>", block, inside)

    phrases = st.builds(lambda tag, body: f"<{tag}>{body}</{tag}>", inline, st.lists(text, max_size=4).map("".join))
    # lxml ends a <pre> where a block begins in it; the standard doesn't.
    verbatim = st.lists(st.one_of(text, phrases), max_size=4).map(lambda parts: f"<pre>{''.join(parts)}</pre>")
    leaf = st.one_of(text, phrases, verbatim, st.just("<p>para</p>"), st.just("<ul><li>x</li><li>y</li></ul>"))
    return "".join(draw(st.lists(st.recursive(leaf, nest, max_leaves=8), max_size=5)))


@settings(max_examples=150, deadline=None)
@given(fragments())
def test_finds_the_words_that_beautifulsoup_finds_in_any_fragment(html: str) -> None:
    assert clean(html).split() == words(html)


@settings(max_examples=300, deadline=None)
@given(st.text(st.one_of(st.sampled_from("<>/&;!-\0\"'=pbre \n\ud800"), st.characters())))
def test_any_text_is_cleaned_to_text_that_can_be_written(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert cleaned == clean(text)  # the page that is filled again remembers nothing
    if "\ud800" not in text:
        cleaned.encode()


class TestPlainText:
    def test_without_markup_keeps_its_lines(self) -> None:
        assert clean("  first line\n\n  second: 1 < 2, I <3 you\n") == "first line\n\n  second: 1 < 2, I <3 you"

    def test_entities_are_decoded_and_lines_kept(self) -> None:
        assert clean("AT&amp;T\n\n&quot;x&quot; &amp;lt;") == 'AT&T\n\n"x" &lt;'

    def test_an_ampersand_alone_stays(self) -> None:
        assert clean("R&D at AT&T") == "R&D at AT&T"

    @pytest.mark.parametrize("text", ["", " ", "\n", "\0", "<p></p>", "<br>", "<!-- -->", "<script>x</script>"])
    def test_nothing_is_left_of_nothing(self, text: str) -> None:
        assert clean(text) == ""


class TestBadInput:
    def test_nuls_are_removed(self) -> None:
        assert clean("<p>a\0b</p>\0c") == "ab\n\nc"
        assert clean("a\0b &amp; \0") == "ab &"
        assert clean("<p>&#0;2x</p>") == "\ufffd2x"

    def test_surrogate_pairs_are_joined_and_lone_ones_replaced(self) -> None:
        assert clean("<p>\ud83d\ude00 \ud800!</p>") == "\U0001f600 \ufffd!"

    def test_cdata_and_unclosed_things(self) -> None:
        assert clean("<p>a<![CDATA[x]]>b") == "ab"
        assert clean("<p>a<!-- never closed") == "a"
        assert clean("<p>a<script>never closed") == "a"
        assert clean("<p>a<b") == "a"

    @pytest.mark.parametrize("tag", ["div", "b", "span", "blockquote", "ul><li", "table><tr><td", "pre"])
    def test_deep_nesting(self, tag: str) -> None:
        assert clean(f"<{tag}>" * 5000 + "deep") == "deep"

    def test_frames_don_t_hide_text(self) -> None:
        assert clean("<frameset><frame></frameset>text<p>x</p>") == "text\n\nx"


def test_what_was_escaped_survives_one_cleaning_and_not_a_second() -> None:
    once = clean("<p>Use &lt;b&gt;bold&lt;/b&gt; here</p>")
    assert once == "Use <b>bold</b> here"
    assert clean(once) == "Use bold here"


def test_memory_of_one_text_does_not_reach_the_next() -> None:
    assert clean("<div><p>" * 50 + "long " * 30000).startswith("long")
    assert clean("<p>short</p>") == "short"
    assert clean("<table><tr><td>open") == "open"
    assert clean("<p>x</p>") == "x"


def test_threads_don_t_share_a_page() -> None:
    failures: list[str] = []

    def work(name: str) -> None:
        failures.extend(name for _ in range(300) if clean(f"<p>{name}</p><p>{name}</p>") != f"{name}\n\n{name}")

    threads = [threading.Thread(target=work, args=(f"text{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pickles() -> None:
    assert pickle.loads(pickle.dumps(Html())).modify_document("<p>x</p>") == "x"


def test_the_yardstick_parts_words_at_the_same_elements() -> None:
    from curation.modifiers.html import _RANKS

    assert {*_RANKS, "br"} == set(PARTING.split())
