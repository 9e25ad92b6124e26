"""What is proposed to make a run fit does fit: runs whose memory the system limits."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.estimates import Estimate, Fit
from tests.documents import demo_document
from tests.pipeline.test_estimator import HERE, PROJECT, Child

# A run of the smallest batch takes so many addresses: code, threads and arenas, before there are tensors to speak of.
_ADDRESSES = 3_900_000_000


def trained(home: Path, document: dict[str, Any], *, addresses: int) -> "subprocess.CompletedProcess[str]":
    """Two steps of the run in a process that may not have more addresses."""
    home.mkdir()
    limited = {**document, "training": {**document["training"], "max_steps": 2, "save_strategy": "no"}}
    (home / "job.yaml").write_text(yaml.safe_dump(limited), encoding="utf-8")
    command = [sys.executable, "-m", "pipeline", "train", "--config", str(home / "job.yaml")]
    return subprocess.run(
        ["prlimit", f"--as={addresses}", *command, "--output-dir", str(home / "run")],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(home)},
    )


def patched(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    mended = {name: dict(values) if isinstance(values, dict) else values for name, values in document.items()}
    for field, value in patch.items():
        section, name = field.split(".")
        mended[section] = {**mended.get(section, {}), name: value}
    return mended


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_proposal_runs_where_the_run_itself_ends_without_memory(tmp_path: Path, rates_file: Path, share: float) -> None:
    document = demo_document(per_device_batch_size=512)
    child = Child(tmp_path / "estimator", rates_file)
    try:
        estimate = Estimate.model_validate(child.ask(document, "estimate", devices=[HERE])["estimate"])
        memory = estimate.devices[0].memory
        free = memory.context + round((memory.total - memory.context) * share)
        fit = Fit.model_validate(child.ask(document, "fit", device={**HERE, "free": free})["fit"])
    finally:
        child.process.kill()
        child.process.communicate()
    assert fit.patch
    addresses = _ADDRESSES + free - memory.context
    fails = trained(tmp_path / "whole", document, addresses=addresses)
    assert fails.returncode != 0
    assert "memory" in fails.stderr.lower()
    fits = trained(tmp_path / "fitting", patched(document, fit.patch), addresses=addresses)
    assert fits.returncode == 0, fits.stderr[-2000:]
