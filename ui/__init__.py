"""The screens: Gradio and nothing else. One file per step of the walk; reads run folders, never owns them."""

from ui.quick_gradio import import_gradio

import_gradio()
