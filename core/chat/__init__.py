"""Talking to a GGUF model: llama.cpp's OpenAI-compatible server in a process of its own, and the app's side of it."""
