"""What the files of the system and the environment tell of the machine."""

from pathlib import Path

import pytest

from pipeline.checks.machine import available_memory, cpu_has_bf16, keys_in

MEMINFO = "MemTotal:       16000 kB\nMemAvailable:    8000 kB\n"


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [
        ("max", "1000", 8000 * 1024),
        ("2000000", "500000", 1_500_000),
        ("99999999999", "0", 8000 * 1024),
        ("1000", "2000", 0),
    ],
)
def test_memory_is_what_the_system_and_the_container_leave(tmp_path: Path, limit: str, used: str, left: int) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO, encoding="ascii")
    (tmp_path / "memory.max").write_text(limit, encoding="ascii")
    (tmp_path / "memory.current").write_text(used, encoding="ascii")
    assert available_memory(tmp_path / "meminfo", tmp_path) == left


def test_memory_without_a_container_is_what_the_system_leaves(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO, encoding="ascii")
    assert available_memory(tmp_path / "meminfo", tmp_path / "none") == 8000 * 1024
    assert available_memory(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(
    ("flags", "has"), [("flags\t\t: fpu avx512_bf16 sse", True), ("flags\t\t: fpu avx512f", False), ("", None)]
)
def test_cpu_tells_whether_it_has_bf16(tmp_path: Path, flags: str, has: bool | None) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n", encoding="utf-8")
    assert cpu_has_bf16(tmp_path / "cpuinfo") is has


def test_keys_are_the_variables_that_hold_something(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "WANDB_API_KEY": "k" * 40, "OPENAI_API_KEY": " ", "HF_HOME": str(tmp_path)}
    assert keys_in(environment) & {"WANDB_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"} == {"WANDB_API_KEY"}
    assert "HF_TOKEN" in keys_in({**environment, "HUGGING_FACE_HUB_TOKEN": "hf_x"})
    (tmp_path / "token").write_text("hf_x", encoding="ascii")
    assert "HF_TOKEN" in keys_in(environment)
