"""Memory games as fast, seeded Gymnasium environments.

Importing this package registers the games with Gymnasium. Each id has a scalar class for ``gymnasium.make`` and a
native vector class for ``gymnasium.make_vec``; both are thin faces of the same kernels, so game ``i`` of a batch reset
with seed ``s`` is the scalar game reset with seed ``s + i``. The classes are named by strings here: numba is imported
when the first game is made, not before.
"""

from gymnasium.envs.registration import register

__version__ = "0.1.0"

ENVIRONMENTS = {
    "rmc/BoxWorld-v0": "rmc_envs.boxworld:BoxWorld",
    "rmc/BoxWorldViewport-v0": "rmc_envs.boxworld:BoxWorldViewport",
    "rmc/MiniPacman-v0": "rmc_envs.minipacman:MiniPacman",
    "rmc/MiniPacmanViewport-v0": "rmc_envs.minipacman:MiniPacmanViewport",
    "rmc/RepeatFirst-v0": "rmc_envs.repeat_first:RepeatFirst",
}
"""Every registered id and the common part of its two classes' names (``…Env`` and ``…VectorEnv``)."""

for _id, _name in ENVIRONMENTS.items():
    register(id=_id, entry_point=f"{_name}Env", vector_entry_point=f"{_name}VectorEnv")
