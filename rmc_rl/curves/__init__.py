"""What runs left behind, made ready to be drawn: `runs` reads their folders, `kinds` says what is drawn of which,
`settings` which of them are seeds of one setting and what settings differ in, `bands` joins the curves of seeds, and
`axes` are what figures of every kind say alike.

A run folder is data from strangers: text and numbers are read from it, nothing is imported, and no file outside it.
"""
