"""The integrity report: each check fires on what it is for, and is silent otherwise."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.data.integrity.check import check_integrity, is_evaluation_split
from pipeline.data.mapping import Mapping
from pipeline.data.row_store import UnreadableRow
from tests.pipeline.data.integrity_stores import (
    CHAT,
    PAIR,
    PREFERENCE,
    PROMPTS,
    TEXT,
    UNPAIRED,
    check,
    codes,
    finding,
    flags_of,
    make_store,
    pairs,
    words,
)

ENGLISH = [
    f"The {stone} in the museum was found by a farmer near the old river and it has been there for {years} years."
    for years in range(10, 20)
    for stone in ("ruby", "opal", "topaz", "garnet", "agate", "jasper")
]
GERMAN = [
    f"Der {stone} im Museum wurde von einem Bauern am alten Fluss gefunden und liegt dort seit {years} Jahren."
    for years in range(10, 20)
    for stone in ("Rubin", "Opal", "Topas", "Granat", "Achat", "Jaspis")
]


def test_clean_data_set_has_no_findings_and_passes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", pairs(60), PAIR)
    report = check(store)
    assert report.findings == []
    assert report.passed
    assert (report.rows, report.usable_rows) == (60, 60)
    assert flags_of(store) == []


def test_statistics_describe_the_rows(tmp_path: Path) -> None:
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": "Two."},
    ]
    store = make_store(tmp_path / "data", [{"messages": chat}, {"messages": chat[1:]}], CHAT)
    statistics = check(store).statistics
    assert (statistics.turns.least, statistics.turns.mean, statistics.turns.most) == (2, 2.5, 3)
    assert (statistics.characters.least, statistics.characters.most, statistics.characters.total) == (13, 21, 34)
    assert statistics.roles == {"user": 2, "assistant": 2, "system": 1}
    assert statistics.splits == {"train": 2}


def test_progress_goes_up_and_says_what_is_done(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    store = make_store(tmp_path / "data", pairs(10), PAIR)
    check_integrity(store, PAIR, flags=None, progress=lambda share, message: told.append((share, message)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    assert told[0][1] == "Checking row 0 of 10"


def test_unusable_rows_are_counted_by_reason_and_listed(tmp_path: Path) -> None:
    order = [{"role": "user", "content": "One?"}, {"role": "user", "content": "Two?"}]
    empty = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": " "}]
    good = [
        {"messages": [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]}
        for row in pairs(60)
    ]
    store = make_store(tmp_path / "data", [*good, {"messages": order}, {"messages": empty}, {"messages": None}], CHAT)
    report = check(store)
    found = finding(report, "unusable_rows")
    assert (found.severity, found.count, found.rows) == ("warning", 3, [61, 62, 63])
    assert report.passed
    assert report.usable_rows == 60
    reasons = {flag.row: flag.reason for flag in flags_of(store)}
    assert "alternate" in reasons[61]
    assert "empty" in reasons[62]
    assert "turn N is empty (1)" in found.message
    assert sum(report.statistics.unusable_reasons.values()) == 3


def test_data_set_with_mostly_unusable_rows_does_not_pass(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", [*pairs(10), *[{"question": "x", "answer": None}] * 10], PAIR)
    report = check(store)
    assert finding(report, "unusable_rows").severity == "error"
    assert not report.passed


def test_data_set_without_a_usable_row_does_not_pass(tmp_path: Path) -> None:
    report = check(make_store(tmp_path / "data", [{"question": "", "answer": ""}] * 3, PAIR))
    assert finding(report, "no_usable_rows").severity == "error"
    assert not report.passed
    assert report.histogram.counts == []


def test_unreadable_rows_are_listed_with_their_reasons(tmp_path: Path) -> None:
    bad = UnreadableRow(row=61, reason="the line is not JSON", text="{")
    store = make_store(tmp_path / "data", pairs(60), PAIR, unreadable=[bad])
    found = finding(check(store), "unreadable_rows")
    assert (found.severity, found.count, found.rows) == ("warning", 1, [61])
    assert [(flag.row, flag.reason) for flag in flags_of(store)] == [(61, "the line is not JSON")]


def test_exact_duplicates_name_the_row_that_they_repeat(tmp_path: Path) -> None:
    rows = pairs(60)
    store = make_store(tmp_path / "data", [*rows, rows[4], rows[4]], PAIR)
    report = check(store)
    assert codes(report) == {"duplicate_rows"}
    found = finding(report, "duplicate_rows")
    assert (found.count, found.rows) == (2, [61, 62])
    assert found.share == pytest.approx(2 / 62)
    assert "2 rows (3.2 %)" in found.message
    assert {(flag.row, flag.of, flag.reason) for flag in flags_of(store)} == {
        (61, 5, "the same as row 5"),
        (62, 5, "the same as row 5"),
    }


def test_near_duplicates_are_no_exact_ones(tmp_path: Path) -> None:
    rows = pairs(60)
    near = {**rows[4], "question": "Well " + rows[4]["question"]}
    louder = {key: value.upper() for key, value in rows[5].items()}
    store = make_store(tmp_path / "data", [*rows, near, louder], PAIR)
    report = check(store)
    assert codes(report) == {"near_duplicate_rows"}
    assert [(flag.row, flag.of) for flag in flags_of(store)] == [(61, 5), (62, 6)]
    method = report.near_duplicate_method
    assert (method.threshold, method.permutations, method.uncompared_pairs) == (0.8, 64, 0)


def test_system_prompt_that_all_rows_share_makes_none_of_them_alike(tmp_path: Path) -> None:
    system = {"role": "system", "content": words(500, seed=1)}
    rows = [
        {
            "messages": [
                system,
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": row["answer"]},
            ]
        }
        for row in pairs(60, first=5)
    ]
    assert codes(check(make_store(tmp_path / "data", rows, CHAT))) == set()


def test_rows_of_training_among_the_evaluation_are_found(tmp_path: Path) -> None:
    rows, other = pairs(60), pairs(10, first=100)
    near = {**rows[7], "question": "Well " + rows[7]["question"]}
    store = make_store(tmp_path / "data", rows, PAIR, splits={"test": [*other, rows[2], near]})
    report = check(store)
    assert codes(report) == {"evaluation_overlap"}
    found = finding(report, "evaluation_overlap")
    assert (found.severity, found.count, found.rows) == ("warning", 2, [71, 72])
    assert "1 of them are the same word for word, of 12 in all." in found.message
    assert [(flag.row, flag.of) for flag in flags_of(store)] == [(71, 3), (72, 8)]


def test_splits_that_share_no_row_do_not_overlap(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", pairs(60), PAIR, splits={"validation": pairs(10, first=100)})
    assert codes(check(store)) == set()


def test_same_rows_in_two_training_splits_are_duplicates_not_overlap(tmp_path: Path) -> None:
    rows = pairs(60)
    store = make_store(tmp_path / "data", rows, PAIR, splits={"more": rows[:3]})
    assert codes(check(store)) == {"duplicate_rows"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test", True),
        ("test_sft", True),
        ("Validation", True),
        ("dev-2", True),
        ("train", False),
        ("testimony", False),
        ("train_test", False),
    ],
)
def test_evaluation_splits_are_known_by_their_first_word(name: str, expected: bool) -> None:
    assert is_evaluation_split(name) is expected


def test_conflicting_answers_are_a_remark(tmp_path: Path) -> None:
    rows = pairs(60)
    store = make_store(tmp_path / "data", [*rows, {**rows[3], "answer": words(20, seed=999)}], PAIR)
    report = check(store)
    assert codes(report) == {"conflicting_answers"}
    assert finding(report, "conflicting_answers").severity == "info"
    assert [(flag.row, flag.of) for flag in flags_of(store)] == [(61, 4)]


def unpaired(count: int, label: bool, *, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"prompt": row["question"], "completion": row["answer"], "label": label} for row in pairs(count, first=first)
    ]


def test_same_answer_with_both_labels_is_a_conflict(tmp_path: Path) -> None:
    rows = [*unpaired(30, True), *unpaired(30, False, first=30)]
    store = make_store(tmp_path / "data", [*rows, {**rows[0], "label": False}], UNPAIRED)
    report = check(store)
    assert codes(report) == {"conflicting_labels"} | {"near_duplicate_rows"}
    assert [(flag.row, flag.of) for flag in flags_of(store) if flag.code == "conflicting_labels"] == [(61, 1)]


def test_labels_in_balance_are_counted_and_nothing_is_said(tmp_path: Path) -> None:
    report = check(make_store(tmp_path / "data", [*unpaired(30, True), *unpaired(30, False, first=30)], UNPAIRED))
    assert report.findings == []
    assert report.statistics.labels == {"good": 30, "bad": 30}


@pytest.mark.parametrize(("bad", "severity"), [(0, "error"), (3, "warning")])
def test_labels_out_of_balance_are_reported(tmp_path: Path, bad: int, severity: str) -> None:
    store = make_store(tmp_path / "data", [*unpaired(60, True), *unpaired(bad, False, first=60)], UNPAIRED)
    report = check(store)
    assert codes(report) == {"label_imbalance"}
    assert finding(report, "label_imbalance").severity == severity


def preferences(count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": row["question"], "chosen": row["answer"], "rejected": words(20, seed=5000 + index)}
        for index, row in enumerate(pairs(count))
    ]


def test_pair_that_differs_in_white_space_only_is_found(tmp_path: Path) -> None:
    rows = preferences(60)
    rows[10]["rejected"] = rows[10]["chosen"] + "\n"
    report = check(make_store(tmp_path / "data", rows, PREFERENCE))
    assert codes(report) == {"same_chosen_and_rejected"}
    assert finding(report, "same_chosen_and_rejected").rows == [11]


def test_pairs_that_prefer_opposite_answers_are_a_conflict(tmp_path: Path) -> None:
    rows = preferences(60)
    swapped = {**rows[0], "chosen": rows[0]["rejected"], "rejected": rows[0]["chosen"]}
    report = check(make_store(tmp_path / "data", [*rows, swapped], PREFERENCE))
    assert finding(report, "conflicting_labels").rows == [1, 61]


def test_preferences_in_order_have_no_findings(tmp_path: Path) -> None:
    assert check(make_store(tmp_path / "data", preferences(60), PREFERENCE)).findings == []


def test_prompts_alone_have_no_answers_to_check(tmp_path: Path) -> None:
    rows = [{"prompt": row["question"], "solution": "4"} for row in pairs(60)]
    report = check(make_store(tmp_path / "data", rows, PROMPTS))
    assert report.findings == []
    assert report.statistics.roles == {"user": 60}


def test_every_answer_the_same_is_reported(tmp_path: Path) -> None:
    report = check(make_store(tmp_path / "data", [{**row, "answer": "I am sorry."} for row in pairs(60)], PAIR))
    assert codes(report) == {"identical_answers"}
    assert finding(report, "identical_answers").message.startswith("Every answer is the same.")


def test_two_answers_shared_evenly_are_not_reported(tmp_path: Path) -> None:
    rows = [{**row, "answer": ("good", "poor")[index % 2]} for index, row in enumerate(pairs(60))]
    assert codes(check(make_store(tmp_path / "data", rows, PAIR))) == set()


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        ("replacement_characters", "lost \ufffd here"),
        ("mojibake", "cafÃ© au lait"),
        ("control_characters", "a \x00 byte"),
        ("html_remnants", "a<br>line"),
        ("secret_like_text", "use hf_" + "aB3" * 12),
        ("email_addresses", "ask jo@example.org"),
    ],
)
def test_damaged_or_private_text_is_flagged_by_row(tmp_path: Path, code: str, damage: str) -> None:
    rows = pairs(60)
    rows[20]["answer"] += f" {damage}"
    store = make_store(tmp_path / "data", rows, PAIR)
    report = check(store)
    assert codes(report) == {code}
    assert finding(report, code).rows == [21]
    assert flags_of(store)[0].row == 21


def test_answers_of_one_character_are_a_remark(tmp_path: Path) -> None:
    rows = pairs(60)
    rows[0]["answer"] = " 4"
    rows[1]["answer"] = "42"
    found = finding(check(make_store(tmp_path / "data", rows, PAIR)), "short_answers")
    assert (found.severity, found.rows) == ("info", [1])


def test_row_far_longer_than_the_others_is_found(tmp_path: Path) -> None:
    rows = pairs(60)
    rows[9]["answer"] = words(5000, seed=3)
    report = check(make_store(tmp_path / "data", rows, PAIR))
    assert codes(report) == {"very_long_rows"}
    assert finding(report, "very_long_rows").rows == [10]


def test_long_rows_among_long_rows_are_not_reported(tmp_path: Path) -> None:
    rows = [{"text": words(5000, seed=index)} for index in range(50)]
    assert codes(check(make_store(tmp_path / "data", rows, TEXT))) == set()


@pytest.mark.parametrize(("count", "expected"), [(49, {"few_rows"}), (50, set())])
def test_few_rows_are_reported(tmp_path: Path, count: int, expected: set[str]) -> None:
    assert codes(check(make_store(tmp_path / "data", pairs(count), PAIR))) == expected


@pytest.mark.parametrize(("count", "expected"), [(7, {"small_evaluation_split"}), (8, set())])
def test_evaluation_split_of_few_rows_is_reported(tmp_path: Path, count: int, expected: set[str]) -> None:
    store = make_store(tmp_path / "data", pairs(60), PAIR, splits={"test": pairs(count, first=100)})
    assert codes(check(store)) == expected


def test_languages_are_told_from_a_sample(tmp_path: Path) -> None:
    mixed = [{"text": text} for text in ENGLISH[:30] + GERMAN[:30]]
    report = check(make_store(tmp_path / "mixed", mixed, TEXT))
    languages = report.statistics.languages
    assert languages.sampled_rows == 60
    assert {"en", "de"} <= set(languages.shares)
    message = finding(report, "several_languages").message
    assert "by a sample of 60 rows" in message
    one = check(make_store(tmp_path / "one", [{"text": text} for text in ENGLISH], TEXT))
    assert one.statistics.languages.shares["en"] > 0.9
    assert "several_languages" not in codes(one)


def test_image_rows_with_the_same_words_are_no_duplicates(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    for number in range(60):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / "images" / f"{number}.png")
    rows = [
        {
            "image": f"images/{number}.png",
            "question": "What do you see in this picture here?",
            "answer": words(3, seed=number),
        }
        for number in range(60)
    ]
    mapping = Mapping.model_validate(
        {
            "format": "prompt_completion",
            "prompt": [{"kind": "image", "column": "image"}, {"kind": "column", "column": "question"}],
            "completion": [{"kind": "column", "column": "answer"}],
        }
    )
    report = check(make_store(folder, rows, mapping))
    assert codes(report) == set()
    assert report.statistics.images == 60
    rows[3]["image"] = "images/gone.png"
    (folder / "images" / "4.png").write_bytes(b"\x89PNG no image")
    rows[5]["image"] = "https://example.org/5.png"
    report = check(make_store(folder, rows, mapping))
    assert codes(report) == {"missing_images", "unreadable_images", "remote_images"}
    assert finding(report, "missing_images").rows == [4]
    assert finding(report, "unreadable_images").rows == [5]
    assert finding(report, "remote_images").rows == [6]
