"""Perplexity: how many tokens the model wavers between, on average."""

import math

# The exponential of 710 is more than a double holds.
_LARGEST_EXPONENT = 709.0


def perplexity(loss: float) -> float:
    """The exponential of a mean loss a token, in nats; e^709 (8e307) for any loss above that."""
    return math.exp(min(loss, _LARGEST_EXPONENT))
