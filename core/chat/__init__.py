"""Talking to a GGUF model: llama.cpp's server in a process of its own, and the app's side of it."""
