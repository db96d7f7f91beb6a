"""The verb ``python -m rmc_rl.report``: one HTML page about one or several runs, which needs nothing beside itself.

`charts` lays learning curves out as lines of an SVG, `tables` finds the figures, `episode` has one played and filmed,
`page` writes them down. The page runs no script but its own and loads nothing; what run folders say stays text.
"""
