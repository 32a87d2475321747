"""The first start: looks at the machine, makes `.venv`, installs what fits, and says how it stands.

Runs before anything is installed: standard library, core/base and core/machine only. `plan` decides which
builds fit, `prepare` holds the table of steps (another one is a line there, its work in `packages` or
`downloads`), `state` remembers what is done, `doctor` reports. app.py asks `ready`, `prepare` and the doctor.
"""
