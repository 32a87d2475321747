"""A run is a folder: this room creates, lists, opens, starts and reads them. Nothing else holds state."""
