"""Models as GGUF files, for llama.cpp, Ollama and LM Studio. What is not Python runs in processes of its own."""
