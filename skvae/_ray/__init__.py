"""Fits and answers on a cluster of Ray.

The driver makes the first pass by tasks that read the blocks of the data set (`first_pass.py`),
fits the columns and starts the model on the sample, as it does for any source (`source.py`). The
workers of Ray Train run the training loop (`training.py`), each on rows of its own (`shards.py`),
and leave the trained weights in a checkpoint. Answers come from actors that hold the model
(`answers.py`).
"""
