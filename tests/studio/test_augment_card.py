"""What the page shows of rows that were made: nothing lost, nothing added, nothing run as markup."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.cost import CostEstimate
from pipeline.augment.outcome import BeforeAfter, MadeFrom, Refused
from pipeline.augment_job import PreviewDocument
from studio.ui.augment_card import difference, outcome_card, preview_card, review_table, text_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=60)
ESTIMATE = CostEstimate(
    requests=90, rows=90, not_applicable=2, input_tokens=1200, output_tokens=800, cost=0.5, minutes_at_rate_limit=1.5,
    tokens_counted_by="bytes / 4",
)  # fmt: skip


def turns(question: str) -> dict[str, list[dict[str, str]]]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "So."}]}


def without(tag: str, html: str) -> str:
    kept = re.sub(f"<{tag}>.*?</{tag}>", "", html, flags=re.DOTALL)
    return unescape(re.sub("</?(?:ins|del)>", "", kept).replace("<br>", "\n"))


@given(TEXTS, TEXTS)
def test_difference_holds_both_texts(before: str, after: str) -> None:
    html = difference(before, after)
    assert (without("ins", html), without("del", html)) == (before, after)


def test_markup_in_a_row_is_text() -> None:
    row = turns("<script>alert(1)</script>")
    page = [{"from": "row <3>", "method": "typos", "before": [row], "row": turns("<b>"), "status": "proposed"}]
    html = review_table(page, offset=0)
    assert not re.search("<script|<b>|<3>", html)
    assert "&lt;" in html


def test_preview_says_what_all_of_it_takes() -> None:
    shown = PreviewDocument(
        rows=(
            BeforeAfter(made_from=MadeFrom(rows=(4,)), before=(turns("Why?"),), after=turns("How come?")),
            BeforeAfter(made_from=MadeFrom(rows=(5,)), before=(), refused=Refused.because("empty", "a text is empty")),
        ),
        estimate=ESTIMATE,
        training_rows=100,
        other_rows=1,
    )
    html = preview_card(shown, per_minute=60)
    for words in (
        "<ins>How come</ins>",
        "a text is empty.",
        "100; 1 row for evaluation, never used",
        "90 rows at most; 2 do not suit the method",
        "90, about 1,200 tokens sent, 800 received (bytes / 4)",
        "about 0.5000 US dollars",
        "at least 1.5 minutes at 60 requests a minute",
    ):
        assert words in html


def test_outcome_counts_what_was_refused() -> None:
    counts = {
        "generated": 1, "refused": {"exact_copy": 2, "not_json": 1}, "requests": 4, "input_tokens": 10,
        "output_tokens": 5,
    }  # fmt: skip
    job = {"state": "completed", "counts": {"cost": 0.25}, "error": None}
    html = outcome_card(job, counts)
    assert "1 row made. Refused: 2 exact copies, 1 not in the form asked for." in html
    assert "Used: 4 requests, 10 tokens sent, 5 received, 0.2500 US dollars." in html
    failed = outcome_card({**job, "state": "failed", "error": {"message": "The key is wrong."}}, counts)
    assert "Not all rows could be made" in failed and "The key is wrong. 1 row made." in failed


def test_row_of_every_format_is_readable() -> None:
    assert text_of(turns("Why?")) == "user: Why?\nassistant: So."
    assert text_of({"text": "Opal."}) == "Opal."
    prompt = [{"role": "user", "content": "A?"}]
    good, bad = ([{"role": "assistant", "content": text}] for text in ("Yes.", "No."))
    pair = {"prompt": prompt, "chosen": good, "rejected": bad}
    assert text_of(pair) == "user: A?\nchosen, assistant: Yes.\nrejected, assistant: No."
    marked = {"prompt": prompt, "completion": good, "label": True}
    assert text_of(marked) == "user: A?\ncompletion, assistant: Yes.\nlabel: True"
    image = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}
    assert text_of({"messages": [image]}) == "user: [image]What is it?"
