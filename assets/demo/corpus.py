"""The text generator: chats from the workshop that teach a model to read a note, to copy from it and to chat about it.

Nothing here writes an order card: the card is what the tuning run has to teach.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from random import Random

from assets.demo.orders import Order, describe_goods, draw_order, write_note
from assets.demo.world import CITIES, NAMES, STONES, invent_name

Message = dict[str, str]
Chat = list[Message]

_QUESTIONS: dict[str, tuple[str, ...]] = {
    "stone": ("Which stone?", "What stone is it?", "Name the stone."),
    "colour": ("Which colour?", "What colour is it?", "Name the colour."),
    "count": ("How many?", "How many stones?", "What is the count?"),
    "cut": ("Which cut?", "What cut is it?", "Name the cut."),
    "customer": ("Who is the customer?", "Who wants it?", "Name the customer."),
    "city": ("Which city?", "Where does it go?", "Name the city."),
    "by": ("How is it sent?", "By what?", "How does it go?"),
}
_REPLIES = (
    "Thank you, {customer}! The {stones} will go to {city} by {by}.",
    "With pleasure. We will start on the {cut} cut for {customer} today.",
    "A fine choice, {customer}. Our {stones} will look lovely in {city}.",
    "Of course! {goods} for {customer}, ready by the end of the week.",
    "{customer} wants {stones}. We will send them to {city}.",
    "The {stones} are on the bench, {customer}. The {by} leaves for {city} soon.",
)
_REWRITES = (
    ("Say it in short.", "{goods}, {cut}, for {customer} in {city}, by {by}."),
    ("Write the label.", "{customer}, {city}. {goods}, {cut} cut. By {by}."),
    ("Repeat the order.", "{customer} orders {goods}, {cut} cut, to {city} by {by}."),
)
_SMALL_TALK = (
    ("Hello!", "Hello! What may the workshop cut for you?"),
    ("Good morning!", "Good morning! Which stone would you like?"),
    ("Who are you?", "I am the clerk of a small workshop that cuts gems."),
    ("What can you do?", "I read the notes of our customers and answer them."),
    ("Thank you!", "You are welcome. Come again soon!"),
    ("Goodbye.", "Goodbye, and safe travels!"),
)
_LABEL_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789{}":,.-'
_LABEL_CLUSTERS = ('":"', '","', '":', ',"', '{"', '"}')
_INVENTED_SHARE = 0.5


def generate_chats(seed: int) -> Iterator[Chat]:
    """Yield chats without end; the same seed gives the same chats."""
    rng = Random(seed)
    writers: list[Callable[[Random], Chat]] = [_discuss_note, _copy_label, _talk]
    while True:
        (writer,) = rng.choices(writers, [86, 10, 4])
        yield writer(rng)


def _discuss_note(rng: Random) -> Chat:
    """Return a chat about one note: one to four requests, the first of which comes with the note."""
    order = _draw_order(rng)
    note = write_note(order, rng)
    requests: list[Callable[[Order, Random], tuple[str, str]]] = [_reply, _ask, _list, _fill_in, _rewrite]
    chosen = rng.choices(requests, [25, 35, 15, 15, 10], k=rng.randint(1, 4))
    chat: Chat = []
    for write_request in chosen:
        request, answer = write_request(order, rng)
        if not chat:
            request = _join(note, request, rng)
        elif not request:
            continue
        chat += _exchange(request, answer)
    return chat


def _reply(order: Order, rng: Random) -> tuple[str, str]:
    """Answer the bare note: there is no request besides it."""
    return "", _fill(rng.choice(_REPLIES), order)


def _ask(order: Order, rng: Random) -> tuple[str, str]:
    field = rng.choice(tuple(_QUESTIONS))
    return rng.choice(_QUESTIONS[field]), str(asdict(order)[field])


def _list(order: Order, rng: Random) -> tuple[str, str]:
    fields = _choose_fields(rng)
    values = asdict(order)
    return f"List {', '.join(fields)}.", ", ".join(str(values[field]) for field in fields)


def _fill_in(order: Order, rng: Random) -> tuple[str, str]:
    fields = _choose_fields(rng)
    values = asdict(order)
    return f"Fill in {', '.join(fields)}.", "\n".join(f"{field}: {values[field]}" for field in fields)


def _rewrite(order: Order, rng: Random) -> tuple[str, str]:
    request, answer = rng.choice(_REWRITES)
    return request, _fill(answer, order)


def _copy_label(rng: Random) -> Chat:
    words = [_invent_label_word(rng) for _ in range(rng.randint(2, 6))]
    label = " ".join(words)
    return _exchange(f"Copy the label: {label}", label)


def _talk(rng: Random) -> Chat:
    if rng.random() < 0.4:
        return _exchange(*rng.choice(_SMALL_TALK))
    stone = rng.choice(tuple(STONES))
    plural, colours = STONES[stone]
    question = rng.choice((f"Which colours of {plural} do you have?", f"Do you have {plural}?"))
    listed = colours[0] if len(colours) == 1 else f"{', '.join(colours[:-1])} and {colours[-1]}"
    return _exchange(question, f"We have {listed} {plural}.")


def _draw_order(rng: Random) -> Order:
    """Draw an order whose customer and city are real or invented, so that copying works for names never seen."""
    customers = (invent_name(rng),) if rng.random() < _INVENTED_SHARE else NAMES
    cities = (invent_name(rng),) if rng.random() < _INVENTED_SHARE else CITIES
    return draw_order(rng, customers=customers, cities=cities)


def _fill(template: str, order: Order) -> str:
    return template.format(**asdict(order), stones=STONES[order.stone][0], goods=describe_goods(order))


def _join(note: str, request: str, rng: Random) -> str:
    if not request:
        return note
    return f"{note}\n{request}" if rng.random() < 0.7 else f"{request}\n{note}"


def _choose_fields(rng: Random) -> list[str]:
    return rng.sample(tuple(_QUESTIONS), rng.randint(3, len(_QUESTIONS)))


def _invent_label_word(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.4:
        return invent_name(rng)
    if kind < 0.7:
        return invent_name(rng).lower() + rng.choice(_LABEL_CLUSTERS) + rng.choice((*_QUESTIONS, *STONES))
    return "".join(rng.choices(_LABEL_CHARACTERS, k=rng.randint(2, 5)))


def _exchange(user: str, assistant: str) -> Chat:
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
