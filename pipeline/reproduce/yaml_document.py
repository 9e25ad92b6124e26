"""A run as YAML: the file that `python -m pipeline train --config` reads."""

import yaml

from pipeline.config import FineTuneJobConfig
from pipeline.reproduce.settings import chosen_settings

# PyYAML writes these as they are, and reads them as ends of lines.
_LINE_ENDS = ("\x85", "\u2028", "\u2029")
# Long enough that no path or sentence is broken over lines.
_LINE_WIDTH = 1000


def as_yaml(config: FineTuneJobConfig) -> str:
    """The settings that differ from the defaults, and those that name the run, as block YAML.

    What reads it back, `parse_job_config(yaml.safe_load(text))`, makes an equal configuration.
    """
    document = chosen_settings(config)
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_LINE_WIDTH)
    return f"# Start it with: python -m pipeline train --config job.yaml\n{body}"


class _Dumper(yaml.SafeDumper):
    """Safe YAML in which every text comes back as it was."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(end in text for end in _LINE_ENDS) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
