"""RLlib as another way to train our agent: it is a module of RLlib's there, and what it learnt a run folder of ours.

``python -m rmc_rl.rllib env=minipacman-viewport algorithm=impala`` trains the same games with RLlib's own algorithms.
For programs that call RLlib by themselves: `algorithm.algorithm_config` sets an algorithm up, `algorithm.agent_weights`
takes the weights out, `training.save_agent` makes a run folder of them.
"""

from rmc_rl.engines import ray_processes as ray_processes  # before ray: how it is set up
