"""What a model makes of texts: the same as scikit-learn would, in a fraction of a millisecond, from a file that is checked."""

import random
import sys
from subprocess import run

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import FeatureUnion

from services.router.domain import features, weights
from services.router.domain.scoring import Scorer, packed, unpacked
from services.router.domain.shape import Shape
from services.router.domain.weights import BadModel, Field
from shared import timesource
from tests import lessons
from tests.effort import examples

SHAPE = Shape(word_bits=9, character_bits=11)
VECTORIZER = FeatureUnion(
    [
        ("words", HashingVectorizer(token_pattern=features.WORDS, ngram_range=features.WORD_GRAMS, n_features=1 << 9)),
        (
            "characters",
            HashingVectorizer(analyzer="char_wb", ngram_range=features.CHARACTER_GRAMS, n_features=1 << 11),
        ),
    ]
)
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        st.lists(st.sampled_from(["refund", "Straße", "İstanbul", "ΑΣ", "漢字", "e\u0301", "😀", "a", "it's", "x" * 60, "\u00a0"])).map(" ".join),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@settings(max_examples=examples(100), deadline=None)
@given(TEXTS)
def test_texts_are_counted_as_the_vectorizer_of_scikit_learn_counts_them(texts: list[str]) -> None:
    """Place by place and value by value, in any script, one at a time or together."""
    expected = VECTORIZER.transform([text[: features.LONGEST_TEXT] for text in texts]).toarray()
    found = np.zeros((len(texts), SHAPE.places))
    for row, counted in enumerate(features.count(texts, SHAPE)):
        np.add.at(found[row], counted.places, counted.values)
    alone = np.zeros_like(found)
    for row, text in enumerate(texts):
        (counted,) = features.count([text], SHAPE)
        np.add.at(alone[row], counted.places, counted.values)

    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_hashes_are_those_of_murmur() -> None:
    """Known answers of MurmurHash3 (x86, 32 bits), seed 0, for each length of the tail."""
    text = b"aabchellohello, worldThe quick brown fox jumps over the lazy dog"
    lengths = [0, 1, 3, 5, 12, 43]
    starts = np.cumsum([0, *lengths])[:-1]
    found = features.hashed(text, starts, np.array(lengths))

    assert [0, 0x3C2569B2, 0xB3DD93FA, 0x248BFA47, 0x149BBB7F, 0x2E4FF723] == found.tolist()


def test_predictions_are_those_of_the_pipeline_that_was_trained() -> None:
    """A classifier of scikit-learn on its own features, and the scorer on a file of the same weights: one answer each."""
    from sklearn.linear_model import SGDClassifier  # noqa: PLC0415 - a slow import, of this test alone

    lesson = lessons.tickets(300, 1)
    texts, themes = [text for text, _ in lesson], [theme for _, theme in lesson]
    pipeline = SGDClassifier(loss="log_loss", random_state=1, max_iter=20, tol=None).fit(
        VECTORIZER.transform(texts), themes
    )
    raw = packed(pipeline.intercept_.astype(np.float32), pipeline.coef_.T.astype(np.float32))
    names = tuple(str(name) for name in pipeline.classes_)
    head = weights.Head(field=Field.THEME, classes=names, temperature=1.0, report=lessons.report(names, gain_low=0.1))
    header = weights.Header(shape=SHAPE, heads=(head,), rows=1, used=1, refused=0, fingerprint="0" * 64)
    scorer = Scorer(weights.read(weights.write(header, raw)))
    fresh = [text for text, _ in lessons.tickets(200, 2)] + texts

    expected = pipeline.decision_function(VECTORIZER.transform(fresh))
    found = scorer.logits(fresh)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()  # weights of one byte are that coarse
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.99
    exact = VECTORIZER.transform(fresh) @ unpacked(raw, len(names))[1] + pipeline.intercept_
    np.testing.assert_allclose(found, exact, atol=1e-3)


def test_each_head_has_its_opinion_and_its_confidence() -> None:
    """Sure of a word it knows, in the dark otherwise; alone or among others, the same."""
    scorer = Scorer(weights.read(lessons.model(lessons.KNOWS)))
    known, unknown, empty = scorer.score(["my invoice is on fire", "good morning everybody", ""])

    assert ("billing", "urgent") == (known[Field.THEME].name, known[Field.URGENCY].name)
    assert known[Field.THEME].confidence > 0.9
    assert (0.5, 0.5) == (unknown[Field.THEME].confidence, empty[Field.THEME].confidence)
    assert [known] == scorer.score(["my invoice is on fire"])
    assert [known] * 3 == [scorer.score(["x"] * 100 + ["my invoice is on fire"])[-1] for _ in range(3)]


def test_a_ticket_is_scored_in_the_order_of_half_a_millisecond() -> None:
    """Whole tickets, one at a time, with themes and urgencies; the median, as others use the machine, too."""
    shape = Shape(word_bits=15, character_bits=16)
    scorer = Scorer(weights.read(lessons.model(lessons.KNOWS, shape=shape)))
    texts = [text for text, _ in lessons.tickets(200, 3)]
    took = []
    for text in texts:
        started = timesource.monotonic()
        scorer.score([text])
        took.append(timesource.monotonic() - started)

    assert 250 < np.mean([len(text) for text in texts])
    assert sorted(took)[len(took) // 4] < 0.002


def test_a_text_without_an_end_costs_no_more_than_its_beginning() -> None:
    """The first thousand characters are read."""
    scorer = Scorer(weights.read(lessons.model(lessons.KNOWS)))
    beginning = ("fire " * 300)[: features.LONGEST_TEXT]

    assert scorer.score([beginning]) == scorer.score([beginning + " newsletter" * 10_000])
    assert scorer.score(["x" * 200_000 + " \ud800"])


def test_the_file_comes_back_as_it_was_written() -> None:
    """Header and weights, bit by bit; the same model makes the same file."""
    file = lessons.model(lessons.KNOWS)
    read = weights.read(file)

    assert file == weights.write(read.header, read.raw) == lessons.model(lessons.KNOWS)
    assert read.header == weights.read_header(file)
    assert (Field.THEME, Field.URGENCY) == read.header.learned
    assert (Field.URGENCY,) == weights.read_header(
        lessons.model(lessons.KNOWS, learned={Field.THEME: False, Field.URGENCY: True})
    ).learned


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_a_damaged_file_is_refused(place: int, chance: random.Random) -> None:
    """Cut anywhere, or with any byte changed."""
    file = lessons.model({Field.THEME: {"a": "aa", "b": "bb"}}, shape=Shape(word_bits=6, character_bits=6))
    at = place % len(file)
    for damaged in (file[:at], file[:at] + bytes([file[at] ^ chance.randint(1, 255)]) + file[at + 1 :], file + b"\0"):
        with pytest.raises(BadModel):
            weights.read(damaged)


def _forged(header: object, raw: bytes) -> bytes:
    return weights.write(header, raw)  # type: ignore[arg-type]


HEADER = weights.read_header(lessons.model(lessons.KNOWS))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "is no model"),
        (b"PK\x03\x04 something else", "is no model"),
        (b"DCKMODEL", "isn't whole"),
        (b"DCKMODEL" + bytes(9_000_000), "larger than"),
        (_forged({"format": 1}, b""), "header can't be read"),
        (_forged([], b""), "header can't be read"),
        (_forged(msgspec.structs.replace(HEADER, format=2), b""), "of format 2"),
        (_forged(HEADER, b"\0"), "are not the"),
        (_forged(HEADER, bytes(10_000_000)), "are not the"),
        (_forged(msgspec.structs.replace(HEADER, shape=Shape(word_bits=20, character_bits=20)), b""), "more than"),
        (_forged(msgspec.structs.replace(HEADER, shape={"word_bits": 99, "character_bits": 9}), b""), "header can't be read"),
        (_forged(msgspec.structs.replace(HEADER, heads=HEADER.heads[:1] * 2), b""), "two heads"),
        (
            _forged(msgspec.structs.replace(HEADER, heads=(msgspec.structs.replace(HEADER.heads[0], classes=("a", "a")),)), b""),
            "names a class twice",
        ),
        (
            _forged(msgspec.structs.replace(HEADER, heads=(msgspec.structs.replace(HEADER.heads[1], classes=("a", "b")),)), b""),
            "urgencies are not among",
        ),
        (
            _forged(msgspec.structs.replace(HEADER, heads=(msgspec.structs.replace(HEADER.heads[0], temperature=1e-50),)), b""),
            "header can't be read",
        ),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused_with_the_way_out(file: bytes, words: str) -> None:
    """Whoever made it, with a right checksum or without."""
    with pytest.raises(BadModel, match=words) as refused:
        weights.read(file)

    assert ":" in str(refused.value) or ";" in str(refused.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e30])
def test_weights_that_nobody_can_calculate_with_are_refused(number: float) -> None:
    """They would make every confidence meaningless."""
    read = weights.read(lessons.model(lessons.KNOWS))
    raw = np.array([number], dtype="<f4").tobytes() + read.raw[4:]

    with pytest.raises(BadModel, match="can't be calculated"):
        Scorer(weights.read(weights.write(read.header, raw)))


def test_numpy_is_loaded_only_where_a_model_is() -> None:
    """Neither the router nor the command line pays for it otherwise."""
    code = "import sys, services.router.main, services.console.cli; sys.exit('numpy' in sys.modules)"

    assert 0 == run([sys.executable, "-c", code], check=False).returncode
