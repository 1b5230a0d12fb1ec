"""`deskclock train`: it learns what is there, says so where nothing is, and never judges itself on texts it has seen."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from services.console.__main__ import run
from services.console.training import duplicates, history, learning, making, measuring
from services.console.training.history import BadHistory, Columns, History, Reading, Row
from services.console.training.progress import Bar
from services.router.domain import weights
from services.router.domain.scoring import Scorer
from services.router.domain.weights import Field
from shared.contract.tickets import Urgency
from tests import lessons

MEANINGS = {urgency.value: urgency for urgency in Urgency}
DEFAULT = Columns()
SEEDS = [1, 2]


def read(text: str, *, most: int = 1_000, seed: int = 0, columns: Columns = DEFAULT) -> History:
    """A CSV file, read."""
    reading = Reading(most=most, seed=seed)
    reading.read(io.StringIO(text, newline=""), columns, MEANINGS)
    return reading.done()


def as_csv(rows: Iterable[tuple[str, ...]], header: tuple[str, ...] = ("text", "theme")) -> str:
    """A CSV file."""
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()


def learned_from(rows: Iterable[tuple[str, ...]], seed: int = 0) -> making.Made:
    """What comes of these texts with themes."""
    return making.make(read(as_csv(rows), most=20_000, seed=seed), seed, Bar())


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_there_is_learned(seed: int) -> None:
    """Themes with words of their own: most are found in texts that were held out, far beyond both baselines."""
    made = learned_from(lessons.tickets(600, seed), seed)
    assert made.header is not None
    (head,) = made.header.heads
    report = head.report

    assert (Field.THEME,) == made.header.learned
    assert (600, 5, lessons.THEMES) == (
        report.rows,
        report.folds,
        tuple(sorted(head.classes, key=lessons.THEMES.index)),
    )
    assert report.macro_f1 > 0.9
    assert report.majority_f1 < 0.15
    assert report.gain_low > 0.5
    assert all(line.support > 100 and line.precision > 0.8 and line.recall > 0.8 for line in report.classes)
    fresh = lessons.tickets(700, seed)[600:]  # the same words, texts it has not seen
    said = Scorer(weights.read(made.file)).score([text for text, _ in fresh])
    assert (
        np.mean([opinions[Field.THEME].name == theme for opinions, (_, theme) in zip(said, fresh, strict=True)]) > 0.9
    )
    assert len(made.file) < 1_000_000


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("themes", [lessons.THEMES, ("much",) * 6 + ("more", "little")])
def test_nothing_is_learned_from_noise(seed: int, themes: tuple[str, ...]) -> None:
    """Themes dealt out by chance, evenly or not: macro-F1 may beat the most frequent class, and luck explains it."""
    made = learned_from(lessons.tickets(400, seed, noise=True, themes=themes), seed)
    assert made.header is not None

    assert () == made.header.learned
    assert made.header.heads[0].report.gain_low < weights.MARGIN


def test_what_it_is_sure_of_is_mostly_right() -> None:
    """Confidence means something: of what it says with at least 80 %, about so much is right, or more."""
    made = learned_from(lessons.tickets(500, 5))
    assert made.header is not None
    sure = {line.confidence: line for line in made.header.heads[0].report.sure}

    assert sure[0.8].right > 0.8
    assert 1 >= sure[0.5].answered >= sure[0.9].answered > 0.3


def test_one_head_may_learn_where_the_other_does_not() -> None:
    """Themes with structure, urgencies at random: only the first may be used."""
    chance = random.Random(1)
    rows = [(text, theme, chance.choice(list(Urgency))) for text, theme in lessons.tickets(400, 7)]
    made = making.make(read(as_csv(rows, ("text", "theme", "urgency"))), 0, Bar())
    assert made.header is not None

    assert (Field.THEME, Field.URGENCY) == tuple(head.field for head in made.header.heads)
    assert (Field.THEME,) == made.header.learned


def test_the_same_rows_and_seed_make_the_same_file() -> None:
    """Byte for byte; another seed another one, from the same rows."""
    rows = lessons.tickets(300, 1)
    first, again, other = (learned_from(rows, seed) for seed in (1, 1, 2))

    assert first.file == again.file != other.file
    assert first.header is not None
    assert other.header is not None
    assert first.header.fingerprint == other.header.fingerprint


def varied(text: str, chance: random.Random) -> str:
    """The same template, filled in anew: another number, another name, other spaces."""
    words = text.split()
    words[chance.randrange(len(words))] = chance.choice(["Anna", "Bob", "Chris"])
    return f"Order {chance.randrange(10**6)}:  {'  '.join(words).capitalize()}"


def test_near_duplicates_are_one_group() -> None:
    """Whatever their number; and texts of the same theme are not, for all their common words."""
    chance = random.Random(3)
    texts = [text for text, _ in lessons.tickets(150, 4)]
    families = [[f"Order 1: {text}", *(varied(text, chance) for _ in range(chance.randint(0, 5)))] for text in texts]
    every = [(number, text) for number, family in enumerate(families) for text in family]
    chance.shuffle(every)
    groups = duplicates.grouped([text for _, text in every], lambda: None)

    assert len(families) == len(set(groups.tolist()))
    of_family: dict[int, set[int]] = {}
    for (number, _), group in zip(every, groups.tolist(), strict=True):
        of_family.setdefault(number, set()).add(group)
    assert all(len(found) == 1 for found in of_family.values())


@pytest.mark.parametrize(
    "texts", [["a", "A "], ["refund 17", "refund   1234"], ["", " "], ["退款", "退款"], ["\ud800", "\ud800"]]
)
def test_short_texts_are_compared_too(texts: list[str]) -> None:
    """Down to a single word, in any script."""
    assert [0, 0] == duplicates.grouped(texts, lambda: None).tolist()
    assert [0, 1] == duplicates.grouped([texts[0], "something else"], lambda: None).tolist()


def test_near_duplicates_never_straddle_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time a fold is judged, none of its groups is among what was learned; and each row is judged once."""
    chance = random.Random(9)
    rows = [
        (varied(text, chance), theme) for text, theme in lessons.tickets(80, 4) for _ in range(chance.randint(1, 8))
    ]
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    split = learning.StratifiedGroupKFold.split

    def watched(self, x, y, groups):
        for fold in split(self, x, y, groups):
            seen.append((groups[fold[0]], groups[fold[1]]))
            yield fold

    monkeypatch.setattr(learning.StratifiedGroupKFold, "split", watched)
    made = learned_from(rows)
    assert made.header is not None

    assert learning.FOLDS == len(seen)
    assert all(not set(learned) & set(held_out) for learned, held_out in seen)
    assert len(rows) == sum(len(held_out) for _, held_out in seen)
    assert 80 == made.header.heads[0].report.groups


def test_a_template_with_two_labels_is_not_learned_by_heart() -> None:
    """Texts of noise, each 12 times: a split through the duplicates would find them all again."""
    chance = random.Random(2)
    texts = [(text, chance.choice(["a", "b"])) for text, _ in lessons.tickets(60, 2)]
    made = learned_from([(varied(text, chance), theme) for text, theme in texts for _ in range(12)])
    assert made.header is not None

    assert () == made.header.learned


def test_what_is_too_rare_or_too_much_alike_is_left_out_and_named() -> None:
    """Classes of a few rows, and of a few texts; heads without enough of both."""
    rows = [*lessons.tickets(200, 1), *[(f"{text} rare", "rare") for text, _ in lessons.tickets(4, 2)]]
    rows += [(f"copy of one text {number}", "copied") for number in range(30)]
    made = learned_from(rows)
    assert made.header is not None
    assert ["theme `copied`", "theme `rare`"] == [left.what for left in made.left]
    assert "30 rows in 1 texts" in made.left[0].reason

    for few in (
        lessons.tickets(30, 1),
        [(f"number {n}", theme) for n, (_, theme) in enumerate(lessons.tickets(300, 1))],
    ):
        nothing = learned_from(few)
        assert (None, b"") == (nothing.header, nothing.file)
        assert nothing.left


def test_blind_answers_are_what_chance_would_score() -> None:
    """Macro-F1 of answers dealt out without a look equals what shuffling them comes to."""
    chance = np.random.default_rng(1)
    truth = chance.choice(3, size=3_000, p=[0.7, 0.2, 0.1])
    said = chance.choice(3, size=3_000, p=[0.4, 0.3, 0.3])
    shuffled = [
        measuring.report(
            ("a", "b", "c"), truth, chance.permutation(said), np.ones(3_000), truth, folds=5, seed=1
        ).macro_f1
        for _ in range(20)
    ]
    found = measuring.report(("a", "b", "c"), truth, said, np.ones(3_000), truth, folds=5, seed=1)

    assert abs(found.blind_f1 - np.mean(shuffled)) < 0.005
    assert found.majority_f1 < found.blind_f1  # which is why the majority alone is no baseline


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("text,theme\nhello,a,b\n", (2, "3 cells where the header has 2")),
        ("text,theme\n ,a\n", (2, "no text")),
        ("text,theme\n\nhello,\n", (3, "neither theme nor urgency")),
        ("text,urgency\nhello,P1\n", (2, "urgency `P1`: known are urgent, high, normal, low; say what it means with --means")),
        ("text,theme\nhel\udcfflo,a\n", (2, "not UTF-8: save the file in that encoding")),
        (f"text,theme\nhello,{'x' * 300}\n", (2, "a theme of over 200 characters")),
        (f"text,theme\n\"{'x' * 1_100_000}", (2, "field larger than field limit (1000000): a quote may be open")),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named_and_counted(text: str, fault: tuple[int, str]) -> None:
    """With the line on which it ends; the others are used."""
    found = read(text.replace("hello,a,b", "hello,a,b") + ("\nbefore and after,urgent\n" if text[-1] == "\n" else ""))

    assert fault == found.first_faults[0]
    assert (1, 1 if text[-1] == "\n" else 0) == (found.faults, found.rows)


def test_columns_may_have_any_name_case_and_separator() -> None:
    """As spreadsheets write them; with a byte order mark, too."""
    found = read(
        '\ufeffID;Betreff;Body;Kategorie;priority;Lang\n1;Hallo;"eins\n;zwei";Rechnung;HIGH;DE\n',
        columns=Columns(subject="betreff", text="body", theme="KATEGORIE", urgency="Priority", language="lang"),
    )

    assert [Row("Hallo\neins\n;zwei", {Field.THEME: "Rechnung", Field.URGENCY: "high"}, "de")] == found.used
    assert {"de": 1} == found.languages


@pytest.mark.parametrize(
    ("head", "columns", "words"),
    [
        ("", Columns(), "no column `text` or `subject`"),
        ("theme,urgency", Columns(), "found: theme, urgency"),
        ("text,label", Columns(), "no column `theme` or `urgency`"),
        ("text,theme", Columns(theme="topic"), "no column `topic` for --theme"),
    ],
)
def test_a_file_without_the_columns_is_refused_with_those_it_has(head: str, columns: Columns, words: str) -> None:
    """And with the option that names them."""
    with pytest.raises(BadHistory, match=words):
        read(f"{head}\n", columns=columns)


def test_more_rows_than_are_used_are_sampled_evenly() -> None:
    """Memory is that of the sample; every row is as likely as any other, and the fingerprint is of all."""
    rows = [(f"text {number}", "a" if number % 2 else "b") for number in range(2_000)]
    found = read(as_csv(rows), most=500, seed=1)
    used = sorted(int(row.text.split()[1]) for row in found.used)

    assert (2_000, 500, 500) == (found.rows, len(found.used), len(set(used)))
    assert 850 < np.mean(used) < 1_150
    assert found.used == read(as_csv(rows), most=500, seed=1).used != read(as_csv(rows), most=500, seed=2).used
    assert found.fingerprint == read(as_csv(rows)).fingerprint != read(as_csv(rows[1:])).fingerprint


Train = Callable[..., tuple[int, str, str]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """Runs the command in a folder of its own, on a file with this text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path / "home"))

    def call(text: str, *arguments: str) -> tuple[int, str, str]:
        (tmp_path / "tickets.csv").write_text(text, encoding="utf-8", newline="")
        code = run(["train", "tickets.csv", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_command_shows_every_class_beside_the_baselines(train: Train, tmp_path: Path) -> None:
    """Precision, recall, F1 and support, and macro-F1; the file is there, rows that can't be read are named."""
    code, out, err = train(as_csv([*lessons.tickets(300, 1), ("", "bug")]))

    assert 0 == code
    for words in (
        "precision",
        "recall",
        "F1",
        "support",
        *lessons.THEMES,
        "macro-F1",
        "always `",
        "dealt out blindly",
        "theme: learned",
    ):
        assert words in out
    assert "line 302: no text" in err
    assert weights.read((tmp_path / "model.deskclock").read_bytes()).header.used == 300


def test_the_command_says_that_it_learned_nothing(train: Train) -> None:
    """With the exit code of a refusal, in words and in JSON."""
    noise = as_csv(lessons.tickets(300, 1, noise=True))
    code, out, err = train(noise)
    assert 4 == code
    assert "learned nothing that luck would not explain" in out
    assert "it learned nothing" in err
    code, out, _ = train(noise, "--json", "-o", "other.model")
    said = json.loads(out)
    assert (4, [], "other.model") == (code, said["learned"], said["file"])
    assert said["model"]["heads"][0]["report"]["gain_low"] < 0.02


@pytest.mark.parametrize(
    ("text", "arguments", "code", "words"),
    [
        ("text,theme\nhello,a\n", (), 4, "too few labelled rows"),
        ("text,theme\nhello,a,b\n", (), 4, "1 of 1 rows can't be read"),
        ("hello\n", (), 4, "no column"),
        ("text,theme\n", ("-o", "nowhere/model"), 4, "no folder nowhere"),
        ("text,theme\n", ("--means", "P1"), 2, "write NAME=URGENCY"),
    ],
)
def test_a_history_that_teaches_nothing_is_refused(
    train: Train, text: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """With the way out, and no file."""
    found, _, err = train(text, *arguments)

    assert code == found
    assert words in err


def test_a_file_that_cannot_be_read_is_refused(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    assert 4 == run(["train", "nowhere.csv"])
    assert "nowhere.csv can't be read: No such file or directory" in capsys.readouterr().err


def test_own_names_of_urgencies_are_read(train: Train) -> None:
    """As `--means` says."""
    rows = [(text, {"bug": "P1", "account": "P2"}.get(theme, "low")) for text, theme in lessons.tickets(300, 1)]
    code, out, _ = train(as_csv(rows, ("text", "urgency")), "--means", "p1=urgent", "--means", "P2=high", "--json")

    assert (0, ["high", "low", "urgent"]) == (code, json.loads(out)["model"]["heads"][0]["classes"])


def test_without_the_extra_the_way_out_is_named(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with what to install."""
    monkeypatch.setitem(__import__("sys").modules, "services.console.training.making", None)
    code, _, err = train("text,theme\nhello,a\n")

    assert 1 == code
    assert "pip install 'deskclock[train]'" in err


def test_no_more_than_the_limit_of_faults_is_shown() -> None:
    """All are counted."""
    found = read("text,theme\n" + ",\n" * 50)

    assert (50, history.FAULTS_SHOWN) == (found.faults, len(found.first_faults))


def test_a_fold_without_a_class_is_learned_all_the_same() -> None:
    """What is not there is never said; where only one class is left, it always is."""
    rows = read(as_csv(lessons.tickets(60, 1))).used
    counted = learning.matrix([row.text for row in rows], lessons.SHAPE, lambda: None)
    truth = np.array([number % 2 for number in range(60)])
    for given, never in ((truth, [2]), (np.zeros(60, dtype=np.int64), [1, 2])):
        biases, weights_found = learning._fit(counted, given, 3, 0)
        said = (counted @ weights_found + biases).argmax(axis=1)
        assert not set(never) & set(said.tolist())
