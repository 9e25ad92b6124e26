"""Builds a tiny random model of the Gemma 4 architecture that sees images. Its processor needs torchvision."""

from pathlib import Path

from transformers import Gemma4Config, Gemma4ForConditionalGeneration, Gemma4TextConfig, Gemma4VisionConfig
from trl.chat_template_utils import gemma4_chat_template

from tests.tiny_gemma import VOCABULARY, build_tokenizer, save

NAMED_TOKENS = {
    "sot_token": "<|turn>",
    "eot_token": "<turn|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "image_token": "<|image|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "audio_token": "<|audio|>",
    "video_token": "<|video|>",
}
PATCH_SIDE = 2
MOST_TOKENS_PER_IMAGE = 70


def build_tiny_gemma4(folder: Path, *, bidirectional: bool) -> Path:
    """Write the model with its processor to `folder` and return it. `bidirectional`: an image's tokens see each other,
    as in the larger models."""
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    tokenizer = build_tokenizer(NAMED_TOKENS)
    tokenizer.chat_template = gemma4_chat_template
    text = Gemma4TextConfig(
        vocab_size=VOCABULARY,
        vocab_size_per_layer_input=VOCABULARY,
        hidden_size_per_layer_input=8,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        global_head_dim=32,
        sliding_window=64,
        layer_types=["sliding_attention", "full_attention"],
        max_position_embeddings=256,
        final_logit_softcapping=30.0,
        use_bidirectional_attention="vision" if bidirectional else None,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.eot_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = Gemma4VisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        patch_size=PATCH_SIDE,
        position_embedding_size=1024,
    )
    ids = {
        name: getattr(tokenizer, name) for name in ("boi_token_id", "eoi_token_id", "image_token_id", "boa_token_id")
    }
    config = Gemma4Config(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        eoa_token_index=tokenizer.eoa_token_id,
        audio_token_id=tokenizer.audio_token_id,
        video_token_id=tokenizer.video_token_id,
        **ids,
    )
    save(Gemma4ForConditionalGeneration, config, tokenizer, folder)
    sizes = {"patch_size": PATCH_SIDE, "max_soft_tokens": MOST_TOKENS_PER_IMAGE}
    Gemma4Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Gemma4VideoProcessor(**sizes),
        chat_template=gemma4_chat_template,
        image_seq_length=MOST_TOKENS_PER_IMAGE,
    ).save_pretrained(folder)
    return folder
