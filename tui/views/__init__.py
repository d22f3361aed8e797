"""What the screens show, made of the API's answers and nothing else: rows, lines and words, without a terminal.

Everything here is a pure function of an answer, the time and a width. Not here: where it stands on the screen (`tui.screens`), how text is
made harmless (`tui.paint`).
"""
