"""A run is a folder: `run` creates, lists, opens and starts it, `data` copies its data, `progress` reads it.

Nothing else holds state. Imports the recipe, the data and the models, and no torch. What else a run folder
comes to hold is a property of `Run`; what its log says, one more line in `progress`.
"""
