"""Imported by the server that starts processes for tests: they find everything imported and loaded."""

import gensim.models
import torch

from pipeline.config import Config
from pipeline.models import language_model
from pipeline.results import database

__all__ = ["database", "gensim", "language_model", "torch"]
torch.set_num_threads(1)  # a process that has computed in several threads cannot be copied
language_model.load(Config())
