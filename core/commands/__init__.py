"""The command line: the whole way without a screen. Does the same as the page does."""
