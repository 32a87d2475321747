"""The model hub: search it, know a download's size before it begins, and bring a model or a dataset here.

Four subjects: `search` asks, `files` decides what of a repository is fetched, `fetch` brings bytes, and
`download` is the worker that joins them. Imports core.base, core.models and the reading
of data. Who is logged in and what a refusal means stands in core.models.hub, which reads configs there.
"""
