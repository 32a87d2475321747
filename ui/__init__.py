"""The screens: Gradio and nothing else. One file per step of the walk; reads run folders, never owns them."""
