"""Images that rows refer to."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from pipeline.data.integrity.image_files import ImageFiles


def png() -> bytes:
    target = BytesIO()
    Image.new("RGB", (40, 40), "red").save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "a.png").write_bytes(png())
    (tmp_path / "data" / "images" / "cut.png").write_bytes(png()[:60])
    (tmp_path / "data" / "images" / "page.png").write_text("<html>not found</html>")
    (tmp_path / "outside.png").write_bytes(png())
    return tmp_path / "data"


def test_images_that_open_have_no_problem(folder: Path) -> None:
    images = ImageFiles(folder)
    assert images.problem("images/a.png") is None
    assert images.problem(f"data:image/png;base64,{b64encode(png()).decode()}") is None
    noise = Image.effect_noise((60, 60), 50)
    target = BytesIO()
    noise.save(target, "PNG")
    assert images.problem(b64encode(target.getvalue()).decode()) is None


@pytest.mark.parametrize(
    ("reference", "code", "reason"),
    [
        ("images/gone.png", "missing_images", "the image images/gone.png is not there"),
        ("../outside.png", "missing_images", "the image ../outside.png is outside the data set's folder"),
        ("/etc/hostname", "missing_images", "the image /etc/hostname is outside the data set's folder"),
        ("a\x00.png", "missing_images", "the name of its image has a NUL byte"),
        ("images/page.png", "unreadable_images", "the image page.png is of no known kind"),
        ("images/cut.png", "unreadable_images", "the image cut.png cannot be opened"),
        ("data:image/png;base64,####", "unreadable_images", "its image is not valid base64"),
        ("https://example.org/a.png", "remote_images", "its image is at https://example.org/a.png"),
    ],
)
def test_images_that_do_not_open_are_explained(folder: Path, reference: str, code: str, reason: str) -> None:
    found = ImageFiles(folder).problem(reference)
    assert found is not None
    assert found[0] == code
    assert found[1].startswith(reason)


def test_image_with_too_many_pixels_is_not_opened(folder: Path) -> None:
    header = png()
    # Width and height stand behind the length and the name of the first chunk.
    large = header[:16] + (60_000).to_bytes(4) + (60_000).to_bytes(4) + header[24:]
    (folder / "images" / "bomb.png").write_bytes(large)
    found = ImageFiles(folder).problem("images/bomb.png")
    assert found is not None
    assert found[0] == "unreadable_images"
