"""The predefined operations: data of our own, one file each, and the loader of these or of a user's."""

from describe.operations.known import KnownHead, known_heads
from describe.operations.load import Operation, Problem, load_operations

__all__ = ["KnownHead", "Operation", "Problem", "known_heads", "load_operations"]
