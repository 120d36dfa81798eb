"""The page of a model: one file, small, harmless whatever the texts are, and with all that was measured."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from pages import HOSTILE, hostile_study, study_of

from charnet.data.vocab import Vocabulary
from charnet.insight import html
from charnet.insight.expectation import Expected, Surprise
from charnet.insight.figures import figures
from charnet.insight.page import likely, to_page
from charnet.insight.study import BEST_OF_EACH
from charnet.insight.svg import Line, Panel, to_svg

TEXT = 'Ann: the cat sat.\n  The (dog) said "no" to 7 cats.\n' * 30


class Elements(HTMLParser):
    """All elements of a page, and what the elements `script` hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        if self.names and self.names[-1] == "script":
            self.scripts.append(data)


def test_forty_hostile_texts_stay_texts() -> None:
    assert len(HOSTILE) == 40
    found = Elements(to_page([hostile_study()]))
    assert found.names.count("script") == 2
    assert not {"img", "iframe", "object", "form", "base", "link", "b", "a"} & set(found.names)
    assert not [name for name in found.attributes if name.startswith("on") or name == "style"]
    data = json.loads(found.scripts[0])
    assert "</script>" in "".join(data["characters"])
    assert not re.search("[<>&]", found.scripts[0])


def test_a_page_allows_nothing_but_its_own_style_and_script() -> None:
    page = html.page("t", "<p>x</p>", script="let a = 1;", data={"x": [1.5, float("nan")]})
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert '{"x":[1.5,null]}' in page
    assert "script-src" not in html.page("t", "")


@pytest.mark.parametrize("values", [
    {"model.num_layers": 1},
    *(pytest.param(each, marks=pytest.mark.exhaustive) for each in (
        {"cell": "rnn", "model.activation": "relu"}, {"of_bytes": True}, {"cell": "cifg"},
        {"cell": "gru", "model.members": 2})),
])  # fmt: skip
def test_every_kind_of_model_has_a_page_with_all_its_sections(values: dict[str, object]) -> None:
    page = to_page([study_of(TEXT, **values)])
    for title in (
        "What it expects",
        "What units track",
        "How far it remembers",
        "How far the gradient reaches",
        "Gates",
    ):
        assert f"<h2>{title}" in page
    assert len(page.encode()) < 1_000_000
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    data = json.loads(Elements(page).scripts[0])
    length = len(data["characters"])
    assert length == len(data["nats"]) == len(data["likely"])
    assert all(len(s["values"]) == length for unit in data["units"] for s in unit["signals"].values())
    assert all(len(row) <= 100 for row in data["influence"])


@pytest.mark.exhaustive
def test_what_is_measured_without_the_ngram_is_said_to_be() -> None:
    alone = [f"{what} is that of the network alone, without its 5-gram." for what in ("Memory", "The gradient")]
    assert all(sentence in to_page([study_of(TEXT, **{"model.ngram": 5})]) for sentence in alone)
    plain = study_of(TEXT, name="plain")
    assert "alone, without" not in to_page([plain])
    both = to_page([plain, study_of(TEXT, name="mixed", **{"model.ngram": 5})])
    assert both.count("of the networks alone, without the 5-gram of mixed.") == 2


@pytest.mark.parametrize(("values", "named"), [
    ({"model.num_layers": 2}, "--unit 1.{}"),
    pytest.param({"model.num_layers": 1}, "--unit {}", marks=pytest.mark.exhaustive),
    pytest.param({"model.num_layers": 1, "model.members": 2}, "--unit 1.1.{}", marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_a_page_says_how_to_see_a_unit_that_it_does_not_offer(values: dict[str, object], named: str) -> None:
    found = study_of(TEXT, **values, **{"model.hidden_size": 40})
    page = to_page([found])
    offered = {unit.number for unit in found.excerpt.signals if unit.place == (0, 0)}
    first = next(number for number in range(40) if number not in offered)
    assert f"<code>{named.format(first)}</code>" in page
    names = [match[1] for match in re.finditer('<button data-unit="[0-9]+" [^>]*>([^<]*)</button>', page)]
    assert len(names) == sum(len(best[:BEST_OF_EACH]) for best in found.followers.values())


@pytest.mark.exhaustive
def test_models_beside_each_other_share_their_figures() -> None:
    studies = [study_of(TEXT, name=name, cell=name) for name in ("lstm", "gru", "rnn")]
    page = to_page(studies)
    for title in ("How far it remembers", "How far the gradient reaches", "How long units keep what they hold"):
        assert title in page
    assert "expects this text best" in page
    by_name = {figure.name: figure for figure in figures(studies)}
    assert [line.name for line in by_name["memory"].panels[0].lines] == ["lstm", "gru", "rnn"]
    assert [line.name for line in by_name["half-lives"].panels[0].lines] == ["lstm", "gru"]


def test_all_numbers_are_ready_for_json() -> None:
    found = json.loads(json.dumps(study_of(TEXT).as_dict()))
    assert found["memory"]["lengths"][0] == 1
    assert found["gradient"]["loss"]["mean"][0] == pytest.approx(1)
    assert {"found", "correlation", "auc", "chance", "unit", "layer", "state"} <= set(
        found["followers"]["upper case"][0]
    )
    assert len(found["worst"]) == 20
    assert len(found["excerpt"]["nats"]) == len(found["excerpt"]["text"])


def test_a_curve_of_one_point_is_seen() -> None:
    drawn = to_svg([Panel("t", "x", [Line("a", [1.0], [2.0]), Line("b", [1.0, 2.0], [3.0, 2.0])])], "y", "")
    assert drawn.count("<circle") == drawn.count("<polyline") == 1


def test_a_logarithmic_axis_leaves_out_what_it_cannot_show() -> None:
    line = Line("curve", [0.0, 1.0, 1024.0], [1.0, 0.0, 1e-3], low=[1, 1, 1], high=[1, 1, 1])
    drawn = to_svg([Panel("t", "x", [line], log_x=2, log_y=10)], "y", "")
    assert drawn.count("<circle") == 1
    assert "nan" not in drawn
    bars = to_svg([Panel("t", "x", [Line("a", [1.0, 2.0], [3.0, 0.0])], bars=True, names=("i", "f"))], "y", "")
    assert bars.count("<rect") == 2
    assert ">i</text>" in bars


def test_what_is_expected_is_what_the_model_would_write_with_its_ngram() -> None:
    from test_engines import LETTERS, build, with_ngram

    from charnet.engines.registry import open_engine
    from charnet.engines.sampling import softmax
    from charnet.insight import expectation, trace

    checkpoint = with_ngram(build(members=2))
    ids = np.random.default_rng(3).integers(len(LETTERS), size=20)
    found = expectation.distributions(trace.networks_of(checkpoint), checkpoint.ngram, ids)
    engine = open_engine(checkpoint)
    state = engine.start(1)
    for t, index in enumerate(ids.tolist()):
        logits_BV, state = engine.advance([index], state)
        np.testing.assert_allclose(found[t], softmax(logits_BV[0]), atol=1e-5)
    last = expectation.distributions(trace.networks_of(checkpoint), checkpoint.ngram, ids, last=1)
    np.testing.assert_allclose(last[0], found[-1])


def test_what_was_expected_is_said_in_percent_without_quotes_and_without_what_is_nothing() -> None:
    study = study_of(", “ab\n" * 60)
    comma, space, quote, a, b = study.vocab.encode(", “ab").tolist()

    def said(*pairs: tuple[int, float]) -> str:
        return likely(study, Surprise(0, [], Expected(a, 9.0, list(pairs)), []))

    assert said((quote, 0.4), (comma, 0.3), (space, 0.2)) == "“ 40 %, comma 30 %, space 20 %"
    assert said((a, 0.996), (b, 0.0049), (comma, 0.0001)) == "a 100 %"
    assert said((a, 0.004), (b, 0.004)) == "a less than 1 %"


def test_a_character_that_no_one_sees_is_shown_by_its_number_and_a_mark_on_a_circle() -> None:
    from charnet.insight import expectation

    vocab = Vocabulary(tuple(map(ord, "\n e\u0301\u200d\ufe0f\U0001f468")))
    shown = [expectation.label(vocab, index) for index in range(len(vocab))]
    assert shown == ["line end", "space", "e", "◌\u0301", "U+200D", "U+FE0F", "\U0001f468"]
