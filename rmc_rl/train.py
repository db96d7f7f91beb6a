"""``python -m rmc_rl.train env=minipacman-viewport``: train an agent.

Only a door: importing this module would hide the function `rmc_rl.train` behind a module of the same name, so the code
is in `rmc_rl.train_command`.
"""

from rmc_rl.train_command import main

if __name__ == "__main__":
    main()
