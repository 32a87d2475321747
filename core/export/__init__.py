"""From an adapter to a file that llama.cpp, Ollama and LM Studio run: merge, convert, quantize, hand over.

`worker` is the page to read: it makes one export from the first byte to the last. What it can make is listed
in forms/, where it can be handed to in targets/: one file each, nothing else to touch. `record` is what the
app sees of it: start an export, find what was made. Imports the floors up to core.runs. Only `merge` and the
processes of `convert` load torch or llama.cpp.
"""
