"""Configuration classes of data sets: the rows of a run, an import, and the making of further rows."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from pipeline.augment.config import Augmentation
from pipeline.config_base import Config, OptionalText, Text, parse_json
from pipeline.data.mapping import ColumnPart, Mapping


class DatasetConfig(Config):
    """The rows to learn from."""

    path: Text = Field(
        description="A file with the training rows, the folder of an imported data set, or a Hugging Face id."
    )
    mapping: Annotated[Mapping | None, BeforeValidator(parse_json)] = Field(
        None, description="How the columns become examples, as JSON. Empty: recognised from the rows."
    )
    prompt_column: OptionalText = Field(None, description="Column with the question, when it is not recognised.")
    completion_column: OptionalText = Field(None, description="Column with the answer, when it is not recognised.")
    train_split: OptionalText = Field(
        None, description="Split of the source to train on. Empty: the one named train, else all rows not held out."
    )
    eval_split: OptionalText = Field(
        None,
        description="Split of the source to evaluate on. Empty: validation, else test, where the source has them.",
    )
    split_column: OptionalText = Field(
        None, description="Column that says which split a row belongs to; takes the place of the source's splits."
    )
    eval_path: OptionalText = Field(None, description="A separate file for evaluation. Overrides every other split.")
    eval_share: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Share of the rows held out where the source has no evaluation split. 0: none.",
    )
    eval_rows: int | None = Field(
        None, ge=1, description="Hold out this many rows instead of a share; also limits a split of the source."
    )
    group_near_duplicates: bool = Field(
        True, description="Keep near-duplicates on one side of the split, so that held-out rows are really unseen."
    )
    max_rows: int | None = Field(None, ge=1, description="Train on at most this many rows, drawn with the seed.")

    @model_validator(mode="after")
    def _columns_or_mapping(self) -> Self:
        named = (self.prompt_column, self.completion_column)
        if self.mapping is not None and any(named):
            raise ValueError("mapping and prompt_column or completion_column say the same thing. Give one of them.")
        if any(named) and not all(named):
            missing = "prompt_column" if self.prompt_column is None else "completion_column"
            raise ValueError(f"only one of the two columns is named. Give dataset.{missing} too.")
        return self

    @property
    def chosen_mapping(self) -> Mapping | None:
        """The mapping that the user chose, or None when it is to be recognised."""
        if self.prompt_column is None or self.completion_column is None:
            return self.mapping
        return Mapping(
            format="prompt_completion",
            prompt=(ColumnPart(column=self.prompt_column),),
            completion=(ColumnPart(column=self.completion_column),),
        )


class ImportJobConfig(Config):
    """Everything needed to bring one data set in."""

    kind: Literal["import"] = "import"
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)] = Field(
        description="Name of the data set in the studio."
    )
    source: Text = Field(description="A file or folder, a Hugging Face id, or an address: https, s3 or gs.")
    file_name: OptionalText = Field(None, description="What an uploaded file was called on the user's machine.")
    subset: OptionalText = Field(None, description="Configuration of a Hub data set; empty for the default.")
    splits: tuple[Text, ...] = Field((), description="Splits of a Hub data set; empty for all of them.")
    revision: Text = Field("main", description="Branch, tag or commit of a Hub data set.")
    max_rows: int | None = Field(None, ge=1, description="Read only the first rows, without downloading the rest.")
    mapping: Annotated[Mapping | None, BeforeValidator(parse_json)] = Field(
        None, description="How the columns become examples. Empty: recognised from the rows."
    )
    description: str = Field("", max_length=2000, description="What the data set is, for those who look for it.")
    tags: tuple[Text, ...] = Field((), max_length=20, description="Words to find the data set by.")
    delete_source: bool = Field(False, description="Remove the source file after it was read; for uploads.")


class AugmentJobConfig(Config):
    """Everything needed to make further training rows for a data set; they wait for a review."""

    kind: Literal["augment"] = "augment"
    name: Text = Field(description="Name of the data set that the rows are for.")
    dataset: Text = Field(description="Folder of the imported data set. Only its training rows are used.")
    augmentation: Augmentation = Field(description="How rows are made.")
    preview: bool = Field(False, description="Make ten rows to look at and estimate the cost, instead of all.")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of everything that is drawn.")
