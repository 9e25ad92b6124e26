"""Images of rows: opened upright and in colour, from the data set's folder or the row, never from elsewhere."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from pipeline.data.examples import ExampleSet, read_examples
from pipeline.data.open_data import open_data
from pipeline.data_config import DatasetConfig
from pipeline.vision.images import UnreadableImage, image_size, keep_readable, open_image
from tests.pipeline.vision.squares import draw_square, png, write_squares, write_zip


def read(source: Path, tmp_path: Path) -> tuple[ExampleSet, Path]:
    store = open_data(str(source), imports=tmp_path / "imports")
    return read_examples(store, DatasetConfig(path=str(source))), store.folder


def write_rows(tmp_path: Path, references: list[str]) -> Path:
    rows = [{"image": reference, "question": "Colour?", "answer": "red."} for reference in references]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_imported_images_are_found_and_opened(tmp_path: Path) -> None:
    rows = write_squares(tmp_path / "pictures", 3)
    found, folder = read(write_zip(tmp_path / "squares.zip", rows, tmp_path / "pictures"), tmp_path)
    kept = keep_readable(found, folder)
    assert (len(kept.examples), kept.splits, kept.dropped) == (3, ["train"] * 3, [])
    for number, example in enumerate(kept.examples):
        assert example.messages is not None
        (reference,) = example.messages[0].images
        assert Path(reference).is_relative_to(folder)
        original = Image.open(tmp_path / "pictures" / f"{number}.png")
        assert image_size(reference) == original.size
        assert open_image(reference).tobytes() == original.convert("RGB").tobytes()


def test_rows_whose_images_cannot_be_had_are_dropped_with_the_reason(tmp_path: Path) -> None:
    data = b64encode(png(draw_square("red", seed=1))).decode()
    references = [
        f"data:image/png;base64,{data}",
        "https://example.org/a.png",
        "../../../../etc/hostname.png",
        "images/none.png",
        "data:image/png;base64,iVBORw0KGgo=",
    ]
    found, folder = read(write_rows(tmp_path, references), tmp_path)
    kept = keep_readable(found, folder)
    assert [example.row for example in kept.examples] == [1]
    reasons = {dropped.row: dropped.reason for dropped in kept.dropped}
    assert reasons[2] == (
        "its image is at https://example.org/a.png, which is not fetched; download it and import it with the table"
    )
    assert reasons[3] == "the image ../../../../etc/hostname.png is outside the data set's folder"
    assert reasons[4] == "the image images/none.png is not there"
    assert reasons[5].startswith("the image in the row ")


def test_base64_in_a_row_is_an_image(tmp_path: Path) -> None:
    picture = draw_square("blue", seed=3)
    data = b64encode(png(picture)).decode()
    assert len(data) > 1024
    found, folder = read(write_rows(tmp_path, [data]), tmp_path)
    (example,) = keep_readable(found, folder).examples
    assert example.messages is not None
    assert open_image(example.messages[0].images[0]).tobytes() == picture.tobytes()


def test_photograph_from_a_tilted_camera_is_upright(tmp_path: Path) -> None:
    lying = Image.new("RGB", (40, 20), "blue")
    lying.paste("red", (0, 0, 10, 20))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # turn clockwise to see it
    lying.save(tmp_path / "photo.png", exif=exif)
    reference = str(tmp_path / "photo.png")
    assert image_size(reference) == open_image(reference).size == (20, 40)
    assert open_image(reference).getpixel((10, 2)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_images_of_every_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    draw_square("red", seed=1).convert(mode).save(tmp_path / f"a.{suffix}")
    assert open_image(str(tmp_path / f"a.{suffix}")).mode == "RGB"


def test_image_that_breaks_off_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    draw_square("red", seed=1, size=(200, 200)).save(tmp_path / "whole.jpg", quality=95)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:4000])
    assert image_size(str(tmp_path / "cut.jpg")) == (200, 200)
    with pytest.raises(UnreadableImage, match=r"^the image cut.jpg cannot be read: "):
        open_image(str(tmp_path / "cut.jpg"))
    with pytest.raises(UnreadableImage, match=r"^the image gone.png cannot be read: "):
        open_image(str(tmp_path / "gone.png"))
