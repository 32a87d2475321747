"""The command line: one file a command, found by listing this folder; each does the same as the page does.

A command is added as a file: its first line is the help, `add_arguments(parser)` and `run(home, args)` do
the rest; `run` returns plain values for `--json`. Files without `add_arguments` serve the others. May import
every room of core. `dispatch` lists and runs them, and imports only the one that is asked for.
"""
