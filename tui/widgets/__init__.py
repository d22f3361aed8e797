"""The console's own widgets: the virtual list, the head row, the dialogs, the bars.

Not here: text (`tui.paint`) and screens (`tui.screens`).
"""
