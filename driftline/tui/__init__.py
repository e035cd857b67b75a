"""The debugger in the terminal: ``pictures`` draws the panes, ``stepper`` is the application around them (Textual)."""
