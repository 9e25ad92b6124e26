"""refuse_downloaded_kernels: an installed package that fetches compiled code is never asked to."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
# What bitsandbytes does when it is imported on a processor with AVX512-BF16.
ASKING = "from kernels import get_kernel; get_kernel('kernels-community/quantization-bitsandbytes')"
REFUSING = "from pipeline.providers.native_code import refuse_downloaded_kernels; refuse_downloaded_kernels()"


@pytest.mark.parametrize(("first", "fetched"), [("pass", True), (REFUSING, False)])
def test_installed_package_fetches_no_code(tmp_path: Path, first: str, fetched: bool) -> None:
    marker = tmp_path / "fetched"
    (tmp_path / "kernels.py").write_text(
        f"from pathlib import Path\ndef get_kernel(name): Path({str(marker)!r}).touch()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"{first}\n{ASKING}"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{PROJECT}"},
        check=False,
    )
    assert marker.exists() == fetched
    assert ("No module named 'kernels'" in ended.stderr or "import of kernels halted" in ended.stderr) != fetched
