"""The catalogue of heads and descriptions: one database, and what is exported from it. Imports no torch."""

from describe.catalog.batches import Queued, SavedBatch, Waiting
from describe.catalog.ledger import Caller
from describe.catalog.scores import Told
from describe.catalog.store import Catalogue

__all__ = ["Caller", "Catalogue", "Queued", "SavedBatch", "Told", "Waiting"]
