"""The words of the command line: commands, arguments, and what they are for."""

import argparse
from pathlib import Path

from pipeline.config_flags import add_config_flags


def command_parser() -> argparse.ArgumentParser:
    """The parser of `python -m pipeline`."""
    parser = argparse.ArgumentParser(prog="python -m pipeline", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="fine-tune a model from a YAML file, flags, or both", allow_abbrev=False)
    train.add_argument("--config", type=Path, help="YAML file with the job document; flags override it")
    train.add_argument(
        "--output-dir",
        type=Path,
        help="run folder [default: $LAPIDARY_HOME/runs/NAME-TIME, LAPIDARY_HOME is ~/.lapidary]",
    )
    add_config_flags(train)
    before = commands.add_parser(
        "preflight", help="tell what is wrong with a run and what it needs", allow_abbrev=False
    )
    before.add_argument("--config", type=Path, help="YAML file with the job document; flags override it")
    before.add_argument(
        "--gpu", action="append", default=[], help="a GPU, such as t4, in place of this machine; repeat"
    )
    before.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    add_config_flags(before)
    smoke = commands.add_parser("smoke", help="try the longest batch of a run, and start nothing", allow_abbrev=False)
    smoke.add_argument("--config", type=Path, help="YAML file with the job document; flags override it")
    smoke.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_config_flags(smoke)
    run = commands.add_parser("run", help="work off the config.json of a run folder", allow_abbrev=False)
    run.add_argument("run_dir", type=Path, help="the run folder")
    schema = commands.add_parser("schema", help="print the JSON schema of the job document", allow_abbrev=False)
    schema.add_argument("--markdown", action="store_true", help="print the reference for people instead")
    generate = commands.add_parser("generate", help="ask the result of a run one question", allow_abbrev=False)
    generate.add_argument("--run-dir", type=Path, required=True, help="folder of a completed run")
    generate.add_argument("--prompt", required=True, help="what the user says")
    generate.add_argument("--side", choices=("tuned", "base"), default="tuned", help="which model answers [tuned]")
    generate.add_argument("--max-new-tokens", type=int, default=256, help="longest answer, in tokens [256]")
    generate.add_argument("--temperature", type=float, default=0.0, help="0 is greedy [0]")
    export = commands.add_parser(
        "export", help="make files of a result that other programs read, and prove them", allow_abbrev=False
    )
    export.add_argument(
        "source", type=Path, help="folder of a finished run, of one of its checkpoints, or of an adapter"
    )
    export.add_argument("--name", default="my-model", help="what the files are called [my-model]")
    export.add_argument("--base-model", help="model that an adapter from elsewhere was trained on")
    export.add_argument(
        "--format", nargs="+", default=["merged"], help="adapter, merged, gguf, gguf_adapter, onnx [merged]"
    )
    export.add_argument("--quantization", nargs="+", default=["q8_0"], help="number formats of GGUF files [q8_0]")
    export.add_argument(
        "--to", nargs="+", default=[], metavar="DESTINATION", help="hf://owner/name, s3://…, gs://… or a folder"
    )
    export.add_argument("--public", action="store_true", help="a repository that is made on the Hub is not private")
    export.add_argument("--output-dir", type=Path, help="where the files go [default: $LAPIDARY_HOME/runs/NAME-TIME]")
    again = commands.add_parser(
        "reproduce", help="write a run as YAML, as a command, and as a script on TRL alone", allow_abbrev=False
    )
    again.add_argument("run_dir", type=Path, help="folder of a run that has saved a result or a checkpoint")
    again.add_argument("--output-dir", type=Path, required=True, help="where job.yaml, train.py and its rows go")
    look = commands.add_parser("inspect", help="show what a data set holds, as a run would read it", allow_abbrev=False)
    look.add_argument("source", help="a file, a folder, a Hugging Face id or an address")
    look.add_argument("--model", help="base model whose chat template and tokens are shown; a Hub id or a folder")
    look.add_argument("--split", help="split of the source to show the first row of")
    look.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    commands.add_parser("workbench", help="answer generation requests, one JSON object a line")
    commands.add_parser("estimator", help="answer requests about what runs will need, one JSON object a line")
    commands.add_parser("databench", help="answer requests about data sets, one JSON object a line")
    commands.add_parser("smokebench", help="answer requests to try a run, one JSON object a line")
    return parser
