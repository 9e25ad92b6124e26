"""A run as YAML: the file that `python -m pipeline train --config` reads."""

import yaml

from pipeline.config import FineTuneJobConfig
from pipeline.reproduce.settings import chosen_settings

# Long enough that no path or sentence is broken over lines.
_LINE_WIDTH = 1000


def as_yaml(config: FineTuneJobConfig) -> str:
    """The settings that differ from the defaults, and those that name the run, as block YAML.

    What reads it back, `parse_job_config(yaml.safe_load(text))`, makes an equal configuration.
    """
    document = chosen_settings(config)
    body = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_LINE_WIDTH)
    return f"# Start it with: python -m pipeline train --config job.yaml\n{body}"
