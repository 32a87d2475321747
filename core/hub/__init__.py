"""The model hub: search it, know a download's size before it begins, and bring a model or a dataset here."""
