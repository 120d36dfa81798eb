"""Where sentences end, in many scripts, however the text comes."""

from __future__ import annotations

import pytest

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.generation.detokenizer import Detokenizer
from charnet.generation.stopping import stop_criteria


def first_sentence(text: str, alphabet: str = "Aa") -> str:
    """The text of a model with `--until sentence` that predicts this text."""
    vocab = Vocabulary.of_text(text + alphabet)
    detokenizer, shown = Detokenizer(vocab, stop_criteria(SamplingOptions(until="sentence"), vocab)), ""
    for i in vocab.encode(text).tolist():
        if not detokenizer.ended:
            shown += detokenizer.feed([i]).text
    return shown + detokenizer.finish().text


@pytest.mark.parametrize(
    ("sentence", "more"),
    [
        ("यह अच्छा है।", " वह गया।"),
        ("यह अच्छा है।", "वह गया।"),
        ("ॐ शान्तिः॥", " ॐ"),
        ("وہ گیا۔", " اس نے"),
        ("هل ذهب؟", " نعم"),
        ("هل ذهب؟\u200f", " نعم"),
        ("Նա գնաց։", " Նա"),
        ("ሄደ።", " እሱ"),
        ("ምን፧", " እሱ"),
        ("သွားတယ်။", " သူ"),
        ("བོད་ཡིག །", " ང་"),
        ("ខ្ញុំទៅ។", " គាត់"),
        ("下雨了．", "他走了"),
        ("下雨了。", "「他走了"),
        ("他说：“走。”", "她走了"),
        ("Πού πας;", " Εδώ"),
        ("그는 갔다.", " 나는"),
        ("응.", " 그래"),
    ],
)
def test_a_sentence_ends_at_the_terminal_of_its_script(sentence: str, more: str) -> None:
    assert first_sentence(sentence + more) == sentence


@pytest.mark.parametrize(
    ("sentence", "more"),
    [("真的?", "他走了"), ("他说真的?!", "她走了"), ("好!", "A君走了"), ("真的?”", "他走了"), ("ไปไหม?", "ไป")],
)
def test_a_mark_of_ascii_ends_a_sentence_between_letters_that_have_no_case(sentence: str, more: str) -> None:
    assert first_sentence(sentence + more) == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "Mr. Smith came.",
        "Mr.\nSmith came.",
        "By J. R. R. Tolkien himself.",
        "J.-P. Sartre wrote it.",
        "Tools, e.g. Hammers, help.",
        "See No. 5 first.",
        "On p. 12 it ends.",
        "Dr. Who came.",
        "Am 3. Mai kam er.",
        "Am 3. September kam er.",
        "Am 24. 12. 2020 kam er.",
        "Ludwig XIV. Baute es.",
        "At 5 a.m. He rose.",
        "At 5.30 he rose.",
        "Use 3.11.7 for that.",
        "Etc. and so on.",
        "Yes, vgl. Müller darin.",
        "Hunde, z. B. Dackel, bellen.",
        "И т. д. Он ушёл.",
        "डॉ. राम गए।",
        "1. Chapter one comes.",
        "He went... and came back.",
        "Is a?b=1 a query?",
        'He said "Go." to me.',
    ],
)
def test_a_full_stop_within_a_sentence_does_not_end_it(sentence: str) -> None:
    assert first_sentence(f"{sentence} Then he slept. And so on.") == sentence


@pytest.mark.parametrize(
    ("sentence", "more"),
    [
        ("« Oui. »", " Il part."),
        ("Я помог им.", " Потом он ушёл."),
        ("Это сделал я.", " Потом он ушёл."),
        ("Ecco dove lo è.", " Poi va."),
        ("He is my ex.", " Then he left."),
        ("« Oui ! »", "\nIl part."),
        ("« Oui.\u202f»", " Il part."),
        ("»Geh.«", " Er ging."),
        ("Er ging.", " »Komm«, sagte sie."),
        ("Er ging „heim.“", " Sie kam."),
        ("Yes.", " “Come."),
        ("(Well!)", " Then"),
        ("He said “No!”", " Then"),
    ],
)
def test_what_closes_a_sentence_belongs_to_it_and_what_opens_the_next_does_not(sentence: str, more: str) -> None:
    assert first_sentence(sentence + more) == sentence


@pytest.mark.parametrize(
    ("sentence", "more"),
    [
        ("No.", " I go."),
        ("So do I.", " He left."),
        ("I don't.", " He does."),
        ("He had 3.", " Mary left."),
        ("He had 3.", " Then he left."),
        ("Use Python 3.11.7.", " Then go."),
        ("He rose at 5 a.m.", "\n\nThen he left."),
        ("He came.", "\nand left."),
        ("Nice!", "😀 Then"),
    ],
)
def test_a_sentence_is_not_mistaken_for_an_abbreviation(sentence: str, more: str) -> None:
    assert first_sentence(sentence + more) == sentence


def test_a_small_letter_begins_a_sentence_where_the_alphabet_has_no_capitals() -> None:
    assert first_sentence("he left. then she came", alphabet="") == "he left."
    assert first_sentence("he left. then she came", alphabet="A") == "he left. then she came"


def test_spaces_without_end_do_not_keep_a_sentence_from_ending() -> None:
    assert first_sentence("He left." + " " * 1000) == "He left."


def test_a_text_that_ends_with_its_length_is_shown_whole() -> None:
    assert first_sentence("He left. ") == "He left. "
    assert first_sentence("Am 3. Sep") == "Am 3. Sep"
