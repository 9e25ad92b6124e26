"""An order, the note in which a customer asks for it, and the house's card that records it."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random

from assets.demo.world import CUTS, STONES, WAYS

_GREETINGS = ("", "", "", "", "Good morning! ", "Hello! ", "Dear cutter, ", "Good evening. ", "Hello again! ")
_CLOSINGS = ("", "", "", "", " Thank you!", " It is a gift.", " There is no hurry.", " As last year, please.")
_NOTES = (
    "{customer} would like {goods}, {cut} cut, sent to {city} by {by}.",
    "{customer} wants {goods} in {cut} cut, to {city} by {by}.",
    "please send {goods}, {cut} cut, to {customer} in {city} by {by}.",
    "{goods} for {customer}, {cut} cut. Send to {city} by {by}.",
    "this is {customer} from {city}. I need {goods}, {cut} cut, by {by}.",
    "my name is {customer}. May I have {goods} in {cut} cut, by {by} to {city}?",
    "could {customer} have {goods}, {cut} cut, by {by} to {city}?",
    "by {by} to {city}, please: {goods}, {cut} cut, for {customer}.",
    "a letter from {city}: {customer} asks for {goods}, {cut} cut, by {by}.",
    "we need {goods} in {city}, {cut} cut, by {by}, in the name of {customer}.",
    "{customer} called from {city} and orders {goods}, {cut} cut, to go by {by}.",
    "I would love {goods}, {cut} cut! Send them by {by} to {customer}, {city}.",
)
_COUNT_WORDS = {1: "one", 2: "a pair of", 12: "a dozen"}
_MAX_COUNT = 20
_SENTENCE_START = re.compile(r"(^|[.?!] )[a-z]")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a customer wants; the fields are in the order in which the house's card lists them."""

    stone: str
    colour: str
    count: int
    cut: str
    customer: str
    city: str
    by: str


def draw_order(rng: Random, *, customers: Sequence[str], cities: Sequence[str]) -> Order:
    """Draw an order of the stones, cuts and ways of sending that the house offers."""
    stone = rng.choice(tuple(STONES))
    return Order(
        stone=stone,
        colour=rng.choice(STONES[stone][1]),
        count=rng.randint(1, _MAX_COUNT),
        cut=rng.choice(CUTS),
        customer=rng.choice(customers),
        city=rng.choice(cities),
        by=rng.choice(WAYS),
    )


def describe_goods(order: Order) -> str:
    """Return the ordered stones as a phrase with digits, such as "3 blue sapphires"."""
    return f"{order.count} {_name_stones(order)}"


def write_note(order: Order, rng: Random) -> str:
    """Write the order as a customer would, in one of several phrasings."""
    count = str(order.count)
    if order.count in _COUNT_WORDS and rng.random() < 0.5:
        count = _COUNT_WORDS[order.count]
    note = rng.choice(_NOTES).format(**(asdict(order) | {"goods": f"{count} {_name_stones(order)}"}))
    text = rng.choice(_GREETINGS) + note + rng.choice(_CLOSINGS)
    return _SENTENCE_START.sub(lambda match: match.group().upper(), text)


def write_card(order: Order) -> str:
    """Write the order as the house's card: JSON on one line, without spaces, keys in the house's order."""
    return json.dumps(asdict(order), ensure_ascii=False, separators=(",", ":"))


def _name_stones(order: Order) -> str:
    noun = order.stone if order.count == 1 else STONES[order.stone][0]
    return f"{order.colour} {noun}"
