"""Opens the data set that a configuration names, importing it first where it is still a file or an address."""

import hashlib
import tempfile
from pathlib import Path

from pipeline.data.row_store import RowStore
from pipeline.data_config import ImportJobConfig


def open_data(source: str, *, imports: Path) -> RowStore:
    """The data set at `source`. Anything but an imported folder is imported below `imports` first.

    An import is used again as long as the file that it came from is the same.

    Raises:
        DataProblem: the source cannot be found or read, or has no rows.
        StorageFailed: it cannot be fetched.
    """
    path = Path(source).expanduser()
    if RowStore.is_at(path):
        return RowStore(path)
    folder = imports / _stamp(source, path)
    if not RowStore.is_at(folder):
        from pipeline.data.import_source import import_source

        imports.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = path.name if path.exists() else source.rstrip("/").rpartition("/")[2]
        with tempfile.TemporaryDirectory(dir=imports) as temporary:
            config = ImportJobConfig(name=name[:120] or "data", source=source)
            partial = Path(temporary) / "dataset"
            import_source(config, partial, downloads=Path(temporary) / "downloads", progress=lambda _: None)
            # Somebody else may have imported the same file meanwhile.
            if not folder.exists():
                partial.rename(folder)
    return RowStore(folder)


def _stamp(source: str, path: Path) -> str:
    state = ""
    if path.exists():
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        state = "".join(f"{file}:{file.stat().st_size}:{file.stat().st_mtime_ns};" for file in files)
        source = str(path.resolve())
    return hashlib.sha256(f"{source}\n{state}".encode()).hexdigest()[:16]
