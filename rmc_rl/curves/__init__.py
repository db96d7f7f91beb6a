"""What runs left behind, made ready to be drawn: `runs` reads their folders, `settings` says which of them are seeds of
one setting and what settings differ in, `bands` joins the curves of seeds.

A run folder is data from strangers: text and numbers are read from it, nothing is imported, and no file outside it.
"""
