import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.line_file import append_lines, read_lines


def test_missing_file_has_no_lines_and_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lines.jsonl"
    assert list(read_lines(path)) == []
    append_lines(path, ["one", "two"], is_durable=True)
    append_lines(path, ["drei – größer"], is_durable=False)
    assert [line.decode() for line in read_lines(path)] == ["one\n", "two\n", "drei – größer\n"]


@given(st.binary(max_size=50).filter(lambda tail: b"\n" not in tail), st.integers(0, 70_000))
def test_unfinished_line_is_passed_over_and_replaced(tail: bytes, padding: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.jsonl"
        path.write_bytes(b"whole\n" + b"x" * padding + tail)
        assert list(read_lines(path)) == [b"whole\n"]
        append_lines(path, ["next"], is_durable=False)
        assert path.read_bytes() == b"whole\nnext\n"


def test_file_of_one_unfinished_line_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"x" * 200_000)
    append_lines(path, ["next"], is_durable=False)
    assert path.read_bytes() == b"next\n"


def test_lines_of_several_writers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"

    def write(letter: str) -> None:
        for _ in range(50):
            append_lines(path, [letter * 5000] * 3, is_durable=False)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line.decode().strip() for line in read_lines(path)]
    assert len(lines) == 600
    assert all(len(line) == 5000 and len(set(line)) == 1 for line in lines)
