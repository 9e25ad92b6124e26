"""Serves one GGUF file on this machine in a process of its own, until its standard input ends.

Its arguments are the files as JSON, of a model and perhaps an adapter and a projector for images, and how many tokens a
conversation may have. It prints its address as a line of JSON. LAPIDARY_RUNTIME_KEY is the key that requests must have.
"""

import json
import os
import sys

KEY = "LAPIDARY_RUNTIME_KEY"


def main() -> None:
    """Serve."""
    import xllamacpp  # type: ignore[import-not-found]

    files = json.loads(sys.argv[1])
    settings = xllamacpp.CommonParams()
    settings.model.path = files["model"]
    if "adapter" in files:
        settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(files["adapter"], 1.0)]
    if "vision" in files:
        settings.mmproj.path = files["vision"]
        settings.mmproj_use_gpu = False
    settings.n_ctx = int(sys.argv[2])
    settings.n_parallel = 1
    settings.offline, settings.ui, settings.warmup = True, False, False
    # What the file says, not what faster arithmetic makes of it.
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.api_keys = [os.environ[KEY]]
    server = xllamacpp.Server(settings)
    sys.stdout.write(json.dumps({"address": server.listening_address}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
