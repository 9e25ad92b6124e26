"""Every error the pipeline raises on purpose.

    UserError                a problem the user can fix; its text is shown as it is
    ├── InvalidConfig        the job document has problems, all of them listed
    ├── DataProblem          the data set cannot be used as it is
    ├── ModelUnavailable     the base model or its tokenizer cannot be loaded
    ├── TrainingDiverged     the loss is no longer a number
    ├── RewardFailed         a reward of GRPO cannot score an answer
    └── StorageFailed        a file could not be read or written

Anything else is a bug and keeps its traceback.
"""

from dataclasses import dataclass


class UserError(Exception):
    """A problem the user can fix: the text says what was seen, why it fails and the smallest cure.

    `field` is the dotted field of the configuration that is to blame, where that is known.
    """

    code = "user_error"
    field = ""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration: the dotted `field` and a sentence."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidConfig(UserError):
    """The job document has problems; `problems` lists all of them."""

    code = "invalid_config"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class DataProblem(UserError):
    """The data set cannot be used as it is."""

    code = "data_problem"


class ModelUnavailable(UserError):
    """The base model or its tokenizer cannot be loaded."""

    code = "model_unavailable"


class TrainingDiverged(UserError):
    """The loss is no longer a number."""

    code = "training_diverged"


class RewardFailed(UserError):
    """A reward of GRPO cannot score an answer."""

    code = "reward_failed"


class StorageFailed(UserError):
    """A file could not be read or written."""

    code = "storage_failed"
