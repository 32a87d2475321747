"""The ground floor: errors, files, the home folder, processes, jobs and events.

Imports no other room; nothing here knows what a model or a dataset is.
"""
