"""Talking to a GGUF model: a server on llama.cpp in a process of its own, and the app's side of it.

In the server's process `vocabulary` makes ids of chats and text of tokens, `context` holds the model and
computes, `questions` wait for its one thread, `requests` are what can be asked, and `server` gives it an
address. In the app `service` starts servers and reads their answers; `talk` keeps a run's conversation. A new
way to choose tokens is a field of `context.Sampling` and a line in its sampler.
"""
