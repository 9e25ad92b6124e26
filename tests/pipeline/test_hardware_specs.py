"""GPUs are found by what drivers and people call them, and their figures hang together."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidConfig
from pipeline.hardware_specs import (
    GIB,
    GpuSpec,
    find_flavor,
    find_gpu,
    gpu_spec,
    known_gpus,
    price_list,
    rates_of,
    space_hardware,
)

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Operation:
    kind: str
    dtype: str
    flops: int = 0
    moved: int = 0


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("t4", "Tesla T4"),
        ("NVIDIA T4", "Tesla T4"),
        ("rtx 4090", "NVIDIA GeForce RTX 4090"),
        ("RTX_4090", "NVIDIA GeForce RTX 4090"),
        ("4090", "NVIDIA GeForce RTX 4090"),
        ("a6000", "NVIDIA RTX A6000"),
        ("NVIDIA-A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"),
        (" A100 (80 GB) ", "NVIDIA A100-SXM4-80GB"),
        ("rtx-4060-ti-16gb", "NVIDIA GeForce RTX 4060 Ti 16GB"),
        ("h100", "NVIDIA H100 80GB HBM3"),
    ],
)
def test_gpu_is_found_by_what_people_write(name: str, found: str) -> None:
    assert gpu_spec(name).name == found


@given(spec=st.sampled_from(known_gpus()), spaced=st.booleans(), upper=st.booleans())
def test_every_gpu_is_found_by_each_of_its_names_however_it_is_written(
    spec: GpuSpec, spaced: bool, upper: bool
) -> None:
    for name in (spec.name, *spec.aliases):
        written = name.replace("-", " ") if spaced else name.replace(" ", "-")
        assert find_gpu(written.upper() if upper else written) is spec


def test_bare_name_of_a_type_with_several_sizes_is_the_smallest() -> None:
    for bare, larger in [("a100", "a100-80gb"), ("v100", "v100-32gb"), ("rtx-4060-ti", "rtx-4060-ti-16gb")]:
        assert gpu_spec(bare).memory_total < gpu_spec(larger).memory_total


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a10o", "'a10o' is no GPU that is known here. Did you mean a10?"),
        ("NVIDIA GeForce RTX 4091", "Did you mean rtx-4090?"),
        ("abacus", "Known are for example t4, l4, a100-80gb and rtx-4090; docs/hardware.md lists all."),
    ],
)
def test_gpu_that_is_not_known_is_a_sentence_with_the_nearest_one(name: str, sentence: str) -> None:
    assert find_gpu(name) is None
    with pytest.raises(InvalidConfig) as raised:
        gpu_spec(name, field="devices")
    assert str(raised.value).endswith(sentence)
    assert [problem.field for problem in raised.value.problems] == ["devices"]


@pytest.mark.parametrize("name", ["NVIDIA T4", "p100", "Tesla V100-SXM2-16GB", "NVIDIA GeForce RTX 2080 Ti"])
def test_gpus_before_ampere_have_no_bf16(name: str) -> None:
    assert not gpu_spec(name).has_bf16


@pytest.mark.parametrize("name", ["NVIDIA A100-SXM4-80GB", "NVIDIA L4", "rtx 3060", "NVIDIA H100 80GB HBM3", "gb10"])
def test_gpus_since_ampere_have_bf16(name: str) -> None:
    assert gpu_spec(name).has_bf16


@pytest.mark.parametrize("spec", known_gpus(), ids=lambda spec: spec.short_name)
def test_figures_of_a_gpu_hang_together(spec: GpuSpec) -> None:
    usable = spec.memory_total / GIB
    assert 0.9 * spec.memory_gb < usable < spec.memory_gb
    if spec.driver_mib is not None:
        assert usable <= spec.driver_mib / 1024
    assert 2 <= spec.tflops_16bit / spec.tflops_fp32 * 1.01 <= 31
    # Operations a byte, where a matrix product begins to keep the tensor cores busy rather than the memory.
    assert 20 < 1000 * spec.tflops_16bit / spec.bandwidth_gb_s < 480
    if spec.checked == "derived":
        assert "GeForce" in spec.name
        assert spec.tflops_16bit == pytest.approx(2 * spec.tflops_fp32, rel=0.01)
    assert spec.source.startswith("https://")


def test_memory_that_cuda_gives_is_taken_and_else_a_little_less_than_the_driver_reports() -> None:
    assert gpu_spec("t4").memory_total == int(14.56 * GIB)
    assert gpu_spec("a10").memory_total == pytest.approx(0.97 * 23028 * 2**20)
    bare = gpu_spec("a10").model_copy(update={"driver_mib": None})
    assert bare.memory_total == pytest.approx(0.97 * 24 * GIB)


def test_rates_follow_the_published_figures() -> None:
    product = Operation("product", "bfloat16", flops=10**12)
    ampere, turing = rates_of(gpu_spec("a100")), rates_of(gpu_spec("t4"))
    assert ampere.seconds(product) == pytest.approx(1 / (0.6 * 312))
    assert turing.seconds(product) == pytest.approx(1 / (0.6 * 8.1)), "imitated in fp32"
    assert turing.seconds(Operation("product", "float16", flops=10**12)) < turing.seconds(product)
    assert ampere.seconds(Operation("copy", "bfloat16", moved=10**9)) == pytest.approx(1 / (0.8 * 1555), rel=0.01)
    assert (ampere.device, ampere.measured) == ("NVIDIA A100-SXM4-40GB", False)


def test_hardware_of_spaces_is_that_of_known_gpus() -> None:
    for hardware in space_hardware():
        assert (hardware.gpu is None) == (hardware.gpus == 0)
        assert hardware.gpu is None or gpu_spec(hardware.gpu).name == hardware.gpu
        assert (hardware.dollars_per_hour == 0) == (hardware.sleeps_after_hours is not None), "only what is free sleeps"
        assert find_flavor(hardware.flavor) is hardware
    assert find_flavor("h100") is None


def test_tables_of_the_documents_are_those_of_the_data() -> None:
    gpus = [
        f"| {spec.name} | `{spec.short_name}` | {spec.memory_total / GIB:.1f} of {spec.memory_gb} | "
        f"{'yes' if spec.has_bf16 else 'no'} | {spec.tflops_16bit:g} | {spec.tflops_fp32:g} | "
        f"{spec.bandwidth_gb_s:g} | [{spec.checked}]({spec.source}) |"
        for spec in known_gpus()
    ]
    spaces = [
        f"| `{hardware.flavor}` | {hardware.label} | {hardware.vcpus} | {hardware.memory_gb} | "
        f"{hardware.dollars_per_hour:.2f} |"
        for hardware in space_hardware()
    ]
    written = (PROJECT / "docs" / "hardware.md").read_text(encoding="utf-8")
    found = [
        line for line in written.splitlines() if line.startswith("| ") and not line.startswith(("| GPU", "| flavor"))
    ]
    assert found == gpus + spaces, "\n".join(["docs/hardware.md should have these rows:", *gpus, "", *spaces])
    assert f"of {price_list().dated:%Y-%m-%d}" in written and price_list().source in written
