from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from curation.report._svg import HEIGHT, WIDTH, Histogram, Lines, number


def parse(chart: Histogram | Lines) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart.svg()))


def bars(chart: Histogram) -> list[tuple[str, float, str]]:
    """Class, height and tip of every bar."""
    found = [(bar.attrib["class"], float(bar.attrib["height"]), bar) for bar in parse(chart).iter("rect")]
    return [(name, height, str(bar[0].text)) for name, height, bar in found]


def ticks(chart: Histogram | Lines) -> list[str]:
    return [str(text.text) for text in parse(chart).iter("text") if text.attrib["class"] == "tick"]


def test_nothing_to_draw_is_nothing() -> None:
    assert Histogram("words", {"human": []}).svg() == ""
    assert Histogram("words", {}).svg() == ""


def test_whole_numbers_have_a_bar_each() -> None:
    found = bars(Histogram("votes", {"human": [0, 0, 1, 3]}))
    assert [tip for _, _, tip in found] == ["-0.5 to 0.5: 2 human", "0.5 to 1.5: 1 human", "2.5 to 3.5: 1 human"]
    assert found[0][1] == pytest.approx(2 * found[1][1])


def test_series_are_stacked() -> None:
    chart = Histogram("votes", {"human": [1, 1], "synthetic": [1]})
    lower, upper = parse(chart).iter("rect")
    assert (lower.attrib["class"], upper.attrib["class"]) == ("s0", "s1")
    assert float(upper.attrib["y"]) + float(upper.attrib["height"]) == pytest.approx(float(lower.attrib["y"]))


def test_every_value_is_counted_once_and_inside_the_chart() -> None:
    chart = Histogram("words", {"human": [float(value) for value in range(1000)] + [1e6]})
    counts = [int(re.search(r": ([\d,]+) ", tip)[1].replace(",", "")) for _, _, tip in bars(chart)]  # type: ignore[index]
    assert sum(counts) == 1001
    for bar in parse(chart).iter("rect"):
        assert 0 <= float(bar.attrib["x"]) <= WIDTH
        assert 0 <= float(bar.attrib["y"]) <= HEIGHT


def test_what_lies_beyond_the_axis_is_said() -> None:
    assert ticks(Histogram("words", {"human": [float(value) for value in range(1000)] + [1e6]}))[-1].endswith("+")
    assert ticks(Histogram("words", {"human": [0.0, 0.5]}))[-1] == "0.5"


def test_equal_values_have_an_axis_too() -> None:
    assert ticks(Histogram("scores", {"human": [0.25, 0.25]}))[0] == "0.25"


def test_marks_stand_at_their_values() -> None:
    chart = Histogram("similarity", {"pairs": [0.92, 0.98]}, {"near": 0.95, "outside": 0.5}, (0.9, 1.0))
    lines = [line for line in parse(chart).iter("line") if line.attrib["class"] == "mark"]
    assert [float(line.attrib["x1"]) for line in lines] == [pytest.approx(WIDTH / 2)]
    assert "near" in str(chart.svg())


def test_names_are_escaped() -> None:
    chart = Histogram('<i>"', {"<b>": [1.0]}, {"<u>": 1.0})
    text = str(chart.svg())
    assert not re.search(r"<[iub]>", text)
    assert parse(chart).attrib["aria-label"].startswith('<i>"')


def polylines(chart: Lines) -> dict[str, list[tuple[float, float]]]:
    """The places of a chart's points, by class."""
    return {
        line.attrib["class"]: [
            (float(x), float(y)) for x, y in (place.split(",") for place in line.attrib["points"].split())
        ]
        for line in parse(chart).iter("polyline")
    }


def test_no_point_is_no_line() -> None:
    assert Lines("loss", {"train": []}).svg() == ""
    assert set(polylines(Lines("loss", {"train": [], "validation": [(1, 2.0), (2, 1.0)]}))) == {"l1"}


def test_a_line_falls_where_its_values_fall() -> None:
    chart = Lines("loss", {"train": [(0, 4.0), (50, 2.0), (100, 1.0)], "validation": [(0, 4.0), (100, 3.0)]})
    drawn = polylines(chart)
    (x0, y0), (x1, y1), (x2, y2) = drawn["l0"]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.02)
    assert y1 - y0 == pytest.approx(2 * (y2 - y1), abs=0.02)
    assert drawn["l1"] == [(x0, y0), (x2, pytest.approx(y0 + (y2 - y0) / 3, abs=0.02))]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for points in drawn.values() for x, y in points)
    assert ticks(chart) == ["0", "100", "1", "4"]
    assert parse(chart).attrib["aria-label"] == "loss: train 4 to 1, validation 4 to 3"


def test_the_axis_takes_in_what_is_compared_with() -> None:
    chart = Lines("loss", {"train": [(1, 2.0), (2, 1.5)]}, {"<b>base": 5.0})
    (mark,) = [line for line in parse(chart).iter("line") if line.attrib["class"] == "mark"]
    assert float(mark.attrib["y1"]) < min(y for _, y in polylines(chart)["l0"])
    assert ticks(chart)[2:] == ["1", "5"]
    assert "<b>" not in str(chart.svg())


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (12.0, "12"), (0.123456, "0.123"), (1234.5, "1,234"), (-3.0, "-3")]
)
def test_numbers_have_no_idle_digits(value: float, expected: str) -> None:
    assert number(value) == expected
