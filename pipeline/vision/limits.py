"""What a run must be like to learn from images; the same words for preflight and for the run."""

from pipeline.config import FineTuneJobConfig
from pipeline.errors import Problem
from pipeline.method_config import METHOD_NAMES


def image_problems(config: FineTuneJobConfig) -> list[Problem]:
    """Why this configuration cannot learn from rows with images; empty where it can."""
    problems = []
    if config.method.kind != "sft":
        message = (
            f"The data set has images, and {METHOD_NAMES[config.method.kind]} does not learn from them yet. Choose "
            "supervised fine-tuning, or a data set without images."
        )
        problems.append(Problem("method.kind", message))
    if config.training.batching == "packed":
        message = "Rows with images cannot be packed. Use auto, which puts rows of similar length together."
        problems.append(Problem("training.batching", message))
    if config.model.attention == "flash_attention_2":
        message = (
            "FlashAttention 2 hides the later parts of an image from the earlier ones, which Gemma sees all at once. "
            "Use auto or sdpa."
        )
        problems.append(Problem("model.attention", message))
    return problems


def text_model_problem(base_model: str) -> str:
    """The sentence for a model that reads text only and rows with images."""
    return (
        f"{base_model} reads text only (as Gemma 3 270M and 1B do), and the data set has images. Choose a model that "
        "sees images, such as google/gemma-3-4b-it, or a data set without images."
    )
