"""Imported by the server that starts processes for tests: they find everything imported and loaded."""

import os

import gensim.models
import torch

from pipeline.config import Config
from pipeline.models import language_model
from pipeline.results import database

__all__ = ["database", "gensim", "language_model", "torch"]
# a process that has computed or cut texts into tokens in several threads cannot be copied
torch.set_num_threads(1)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
language_model.load(Config())
