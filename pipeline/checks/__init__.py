"""Preflight: every check of a configuration, run together.

To add a check: write `(config, facts) -> list[Finding]` in a module here, add it to CHECKS, test that it fires and
that it stays silent.
"""

from collections.abc import Callable

from pipeline.checks.access import check_gated, check_licence
from pipeline.checks.checkpoint import check_architecture, check_lora_targets, check_quantized_name
from pipeline.checks.combinations import check_combinations
from pipeline.checks.data import (
    check_dataset_format,
    check_dataset_rows,
    check_evaluation_size,
    check_evaluation_split,
    check_integrity_report,
)
from pipeline.checks.exports import check_export_destinations, check_export_formats, check_export_of_scorer
from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding
from pipeline.checks.hardware import check_adapter_on_cpu, check_attention, check_packing_attention, check_precision
from pipeline.checks.images import check_images
from pipeline.checks.labels import check_labels
from pipeline.checks.memory import check_memory
from pipeline.checks.model import check_base_model, check_context_length
from pipeline.checks.output import check_output_folder, check_output_name
from pipeline.checks.provider import check_provider
from pipeline.checks.resources import check_disk_space, check_merge_memory, check_sleep_time
from pipeline.checks.rewards import check_reward_columns
from pipeline.checks.schedule import check_intervals, check_logging, check_total_steps
from pipeline.checks.tracking import check_tracker_key, check_trackers
from pipeline.config import FineTuneJobConfig

CHECKS: tuple[Callable[[FineTuneJobConfig, Facts], list[Finding]], ...] = (
    check_base_model,
    check_quantized_name,
    check_gated,
    check_licence,
    check_architecture,
    check_lora_targets,
    check_precision,
    check_attention,
    check_adapter_on_cpu,
    check_context_length,
    check_combinations,
    check_packing_attention,
    check_provider,
    check_dataset_rows,
    check_dataset_format,
    check_labels,
    check_reward_columns,
    check_images,
    check_integrity_report,
    check_evaluation_split,
    check_evaluation_size,
    check_total_steps,
    check_intervals,
    check_logging,
    check_trackers,
    check_tracker_key,
    check_export_formats,
    check_export_of_scorer,
    check_export_destinations,
    check_disk_space,
    check_memory,
    check_merge_memory,
    check_sleep_time,
    check_output_folder,
    check_output_name,
)


def run_checks(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """All findings about `config`, errors first."""
    order = {"error": 0, "warning": 1, "info": 2}
    findings = [finding for check in CHECKS for finding in check(config, facts)]
    return sorted(findings, key=lambda finding: order[finding.severity])
