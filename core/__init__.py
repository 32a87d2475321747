"""Everything that is not a screen. Never imports gradio."""
