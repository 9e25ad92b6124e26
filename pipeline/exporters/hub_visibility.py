"""Whether a data set of the Hugging Face Hub may be seen by anybody."""

import httpx
from huggingface_hub import HfApi

# A card is not worth a longer wait.
_SECONDS = 10.0


def is_public_dataset(hub_id: str) -> bool:
    """Whether the Hub shows the data set to somebody without a token; not, where the Hub cannot be asked."""
    try:
        HfApi().dataset_info(hub_id, token=False, timeout=_SECONDS)
    except (OSError, httpx.HTTPError):
        return False
    return True
