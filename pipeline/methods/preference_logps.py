"""Log-probabilities of the tokens that count, a chunk of the vocabulary at a time.

For Gemma's vocabulary the logits of a batch are the largest tensor of a step, and a preference method needs none of
them but those of its answers' tokens.
"""

import torch
from peft import PeftModel
from transformers import PreTrainedModel
from trl import DPOTrainer, KTOTrainer
from trl.models.utils import _ForwardRedirection
from trl.trainer.utils import _ChunkedLogProbFunction

# Columns of the output head that are multiplied at a time; the same number as TRL's DPO trainer.
VOCABULARY_PER_CHUNK = 8192


def use_chunked_logps(trainer: DPOTrainer | KTOTrainer) -> None:
    """Have a trainer take TRL's own way without whole logits.

    TRL ties it to an argument that also asks for the Liger package, which it does not need: it is plain PyTorch.
    Models whose experts have a loss of their own keep whole logits, because TRL has that loss only with them.
    """
    trainer.use_liger_kernel = not trainer.aux_loss_enabled
    trainer._forward_redirection = _ForwardRedirection()


def token_log_probabilities(
    model: PreTrainedModel | PeftModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, wanted: torch.Tensor
) -> torch.Tensor:
    """Log-probability of each token after the first, given those before it; 0 where it is not wanted.

    Args:
        input_ids: (rows, tokens)
        attention_mask: (rows, tokens)
        wanted: (rows, tokens - 1), whether the token at this place, the first aside, counts

    Returns:
        (rows, tokens - 1), fp32
    """
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden = inner.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
    head, config = inner.get_output_embeddings(), inner.config.get_text_config()
    scale = getattr(config, "logit_scale", None)
    logps, _ = _ChunkedLogProbFunction.apply(
        hidden[:, :-1][wanted],
        head.weight,
        head.bias,
        input_ids[:, 1:][wanted],
        1.0,
        VOCABULARY_PER_CHUNK,
        getattr(config, "final_logit_softcapping", None),
        1.0 if scale is None else scale,
    )
    return logps.new_zeros(wanted.shape).masked_scatter(wanted, logps)
