"""Talking to a GGUF model: a server on llama.cpp in a process of its own, and the app's side of it."""
