"""A corpus of good, doubtful and broken data files, each with the verdict that it must get."""
