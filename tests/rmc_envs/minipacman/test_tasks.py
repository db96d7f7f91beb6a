from rmc_envs.minipacman.tasks import NO_TIME_LIMIT, TASKS


def test_the_published_table() -> None:
    rows = {name: task[:5] for name, task in TASKS.items()}
    assert rows == {
        "regular": (0, 1, 2, 5, 0),
        "avoid": (0.1, -0.1, -5, -10, -20),
        "hunt": (0, 0, 1, 10, -20),
        "ambush": (0, -0.1, 0, 10, -20),
        "rush": (0, -0.1, 10, 0, 0),
    }


def test_what_clears_a_level() -> None:
    by_food = {name for name, task in TASKS.items() if task.cleared_by_food}
    by_pills = {name for name, task in TASKS.items() if task.cleared_by_pills}
    by_ghosts = {name for name, task in TASKS.items() if task.cleared_by_ghosts}
    limits = {name: task.time_limit for name, task in TASKS.items() if task.time_limit != NO_TIME_LIMIT}
    assert (by_food, by_pills, by_ghosts, limits) == (
        {"regular", "avoid"},
        {"rush"},
        {"hunt", "ambush"},
        {"avoid": 128},
    )
