"""Word-level language modelling (section 4.3): corpora and the model; the task is with the others in ``tasks``."""
