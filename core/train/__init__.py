"""Training, in a worker process of its own: `python -m core.train.worker` reads a run folder and trains it.

Two pages to read: `worker` (the trip, nothing heavy) and `session` (what is loaded and done in between). The
rest is one subject a file. Imports everything below it; only `worker` is named by others, as a program. A
new engine is one file with the three functions of `engine.Engine`; a new training method stands in
`core/methods`.
"""
