"""The walk: one file a step, found by listing this folder. A step is a class of ui.step.Step with its folder
of templates in ui/templates; `order` is its place."""
