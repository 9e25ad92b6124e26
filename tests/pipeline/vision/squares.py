"""Pictures of coloured squares, and rows that ask for the colour."""

import json
import random
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = {"red": (220, 30, 30), "blue": (40, 60, 220), "white": (240, 240, 240)}
QUESTION = "What colour is the square?"


def draw_square(colour: str, *, seed: int, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """A square of this colour, its place and side drawn with the seed, on dark noise."""
    chooser = random.Random(seed)
    noise = Image.frombytes("L", size, chooser.randbytes(size[0] * size[1]))
    image = noise.convert("RGB").point(lambda value: value // 3)
    side = chooser.randint(min(size) // 2, min(size) * 3 // 4)
    corner = (chooser.randint(0, size[0] - side), chooser.randint(0, size[1] - side))
    image.paste(COLOURS[colour], (*corner, corner[0] + side, corner[1] + side))
    return image


def png(image: Image.Image) -> bytes:
    """The bytes of an image file."""
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def write_squares(folder: Path, count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Write pictures to `folder` and return a row for each: its file name, a question and an answer."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + count):
        colour = list(COLOURS)[number % len(COLOURS)]
        draw_square(colour, seed=number).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "question": QUESTION, "answer": f"{colour}."})
    return rows


def write_zip(path: Path, rows: list[dict[str, Any]], pictures: Path) -> Path:
    """A zip of a table with the pictures that it names."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        for name in sorted({row["file_name"] for row in rows if row["file_name"] is not None}):
            archive.write(pictures / name, name)
    return path
