"""The actor-learner: rollouts, V-trace, the loss, the actor and the learner. Nothing here knows of Ray."""
