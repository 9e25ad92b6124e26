"""refuse_downloaded_kernels: an installed package that fetches compiled code is never asked to."""

import subprocess
import sys
from pathlib import Path

from bitsandbytes.functional import has_avx512bf16

PROJECT = Path(__file__).parents[3]
FETCHING_PACKAGE = """
from pathlib import Path
def get_kernel(name, **options):
    Path({marker!r}).write_text(name)
    raise RuntimeError("no network")
"""


def import_bitsandbytes(folder: Path, first: str) -> bool:
    """Whether the package was asked for code when bitsandbytes was imported after the statement `first`."""
    marker = folder / "fetched"
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / "__init__.py").write_text(FETCHING_PACKAGE.format(marker=str(marker)))
    subprocess.run(
        [sys.executable, "-c", f"{first}; import bitsandbytes"],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": f"{folder}:{PROJECT}"},
    )
    return marker.exists()


def test_bitsandbytes_fetches_no_code(tmp_path: Path) -> None:
    refuse = "from pipeline.providers.native_code import *; refuse_downloaded_kernels()"
    assert not import_bitsandbytes(tmp_path / "with", refuse)
    # Only processors with these instructions have such code to fetch.
    assert import_bitsandbytes(tmp_path / "without", "pass") == has_avx512bf16()
