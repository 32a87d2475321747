"""From an adapter to a file that llama.cpp, Ollama and LM Studio run: merge, convert, quantize, hand over."""
