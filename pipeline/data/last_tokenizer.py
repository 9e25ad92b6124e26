"""Keeps the tokenizer of the model that was asked for last, and its processor where rows have images."""

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from pipeline.config import ModelConfig
from pipeline.data.row_store import RowStore
from pipeline.providers.huggingface import load_processor, load_tokenizer


class LastTokenizer:
    """Loads when the model changes."""

    def __init__(self) -> None:
        self._of: tuple[ModelConfig, bool] | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._processor: ProcessorMixin | None = None

    def load(self, config: ModelConfig, store: RowStore) -> tuple[PreTrainedTokenizerBase, ProcessorMixin | None]:
        """What tokenises the rows of a data set; the processor only if they have images.

        Raises:
            ModelUnavailable: it cannot be loaded, or rows have images and the model reads text only.
        """
        recognition = store.summary.recognition
        has_images = recognition is not None and recognition.modality == "multimodal"
        if self._tokenizer is None or self._of != (config, has_images):
            self._processor = load_processor(config) if has_images else None
            self._tokenizer = load_tokenizer(config) if self._processor is None else self._processor.tokenizer
            self._of = (config, has_images)
        return self._tokenizer, self._processor
