"""The problems a row can have: how serious each is, what it is called, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class RowProblem:
    """What is said of all rows that have the problem: `what`, then their number, then `advice`."""

    severity: Severity
    what: str
    advice: str


ROW_PROBLEMS: dict[str, RowProblem] = {
    "unreadable_rows": RowProblem(
        "warning", "Not readable in the source", "They are left out. Mend them in the source and import it again."
    ),
    "unusable_rows": RowProblem(
        "warning", "Not usable under this mapping", "They are left out. Mend them, or choose other columns."
    ),
    "duplicate_rows": RowProblem(
        "warning",
        "The same as an earlier row",
        "They are learned more often than the others. Export a cleaned copy without them.",
    ),
    "near_duplicate_rows": RowProblem(
        "warning",
        "Almost the same as an earlier row",
        "Look at some of them: rows built from a long template look alike too. A cleaned copy can leave them out.",
    ),
    "evaluation_overlap": RowProblem(
        "warning",
        "Evaluation rows that are also among the training rows",
        "The evaluation looks better than the model is. Export a cleaned copy without them.",
    ),
    "conflicting_answers": RowProblem(
        "info",
        "The same prompt with different answers",
        "That is right where many answers are, and confusing where one is.",
    ),
    "conflicting_labels": RowProblem(
        "warning", "The same answer both good and bad", "The two cancel out. Keep the label that is right."
    ),
    "same_chosen_and_rejected": RowProblem(
        "warning",
        "Chosen and rejected differ in white space only",
        "There is nothing to prefer. Export a cleaned copy without them.",
    ),
    "short_answers": RowProblem(
        "info", "An answer of one character", "That is right for labels. Elsewhere look whether the column is the one."
    ),
    "very_long_rows": RowProblem(
        "warning", "Far longer than the others", "They are cut or decide the memory of the run. Look at some of them."
    ),
    "replacement_characters": RowProblem(
        "warning",
        "Characters lost to a wrong encoding (�)",
        "The model learns to write them. Export the source again as UTF-8.",
    ),
    "mojibake": RowProblem(
        "warning",
        "Text read in a wrong encoding (such as Ã© for é)",
        "The model learns to write it. Export the source again as UTF-8.",
    ),
    "control_characters": RowProblem(
        "warning", "Control characters in the text", "They are mostly left-overs of a conversion. Remove them."
    ),
    "html_remnants": RowProblem(
        "info", "HTML tags or entities in the text", "That is right for web pages and code, else convert them to text."
    ),
    "secret_like_text": RowProblem(
        "warning",
        "Text that looks like a key or a private key",
        "A model can repeat what it has learned. Revoke the keys and remove them.",
    ),
    "email_addresses": RowProblem(
        "info", "E-mail addresses in the text", "See that they may be learned; a model can repeat them."
    ),
    "missing_images": RowProblem(
        "warning", "An image that is not there", "Add the files and import the data set again."
    ),
    "unreadable_images": RowProblem(
        "warning", "An image that cannot be opened", "Replace the files and import the data set again."
    ),
    "remote_images": RowProblem(
        "warning",
        "An image that is only a web address",
        "It was not fetched and not checked. Download the images and import them with the table.",
    ),
    "unrenderable_rows": RowProblem(
        "warning", "Not accepted by the chat template", "They are left out. Mend them, or choose another base model."
    ),
    "truncated_rows": RowProblem(
        "warning", "Longer than the limit", "Their end is cut off. Raise the maximum length to keep them whole."
    ),
    "rows_without_trained_token": RowProblem(
        "warning", "No token to learn from", "They are left out. See what the columns hold."
    ),
    "answers_after_limit": RowProblem(
        "warning",
        "The answer starts after the limit",
        "They are left out. Raise the maximum length, or shorten the prompts.",
    ),
    "double_beginning": RowProblem(
        "warning",
        "Begins with two beginning-of-text tokens",
        "Remove the token from the text; the chat template adds its own.",
    ),
    "system_turns_folded": RowProblem(
        "info",
        "A system turn, which the chat template does not have",
        "Its text is put before the first turn of the user.",
    ),
}
# A problem of these leaves rows out: when half of the rows have it, the data set as such is wrong.
LEAVES_OUT = frozenset(
    {
        "unreadable_rows",
        "unusable_rows",
        "missing_images",
        "unreadable_images",
        "unrenderable_rows",
        "rows_without_trained_token",
        "answers_after_limit",
    }
)
ERROR_SHARE = 0.5
TOKEN_CODES = frozenset(
    {
        "unrenderable_rows",
        "truncated_rows",
        "rows_without_trained_token",
        "answers_after_limit",
        "double_beginning",
        "system_turns_folded",
        "pad_is_end",
        "no_end_of_turn",
    }
)
