"""Checks of the rewards of GRPO; the run tries each of them on four rows before it trains."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, error
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.method_config import GrpoConfig
from pipeline.reward_config import reward_names
from pipeline.rewards.prompts import ANSWER, needed_column
from pipeline.rewards.reference import missing_column


def check_reward_columns(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The data set has the columns that rewards compare with."""
    method, data = config.method, facts.data
    if not isinstance(method, GrpoConfig) or not isinstance(data, Inspection):
        return []
    # Rows with an answer offer it under this name.
    own = {} if data.format == "prompt_only" else {ANSWER: None}
    columns = dict.fromkeys(data.columns) | own
    findings = []
    for name, reward in zip(reward_names(method.rewards), method.rewards, strict=True):
        column = needed_column(reward)
        if column is not None and column not in columns:
            message = f"The reward {name} cannot be computed: {missing_column(column, columns)}"
            findings.append(error("reward_column_missing", "method.rewards", message))
    return findings
