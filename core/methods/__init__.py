"""Training methods, and what a machine makes of a recipe (`settle`).

Imports the Recipe and models. A new method is one file here with one class of `Method`;
nothing else needs to be touched. One that has `trains = False` is estimated, and refused by a training.
"""
