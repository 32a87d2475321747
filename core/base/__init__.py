"""The ground floor: errors and files, records, the home folder, processes, jobs, events, registries.

Imports no other room; nothing here knows what a model or a dataset is. `errors`, `files`, `home` and `cores`
need the standard library only, because set-up imports them before anything is installed. A trouble of disk or
memory that deserves its own words is one more line in `errors`.
"""
