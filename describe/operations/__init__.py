"""The predefined operations: data of our own, one file each, and the loader of these or of a user's."""

from describe.operations.load import ALL, Operation, Problem, load_operations
from describe.operations.profile import OURS, PAPER_PROFILE, PROFILES, Profile, profile_named

__all__ = [
    "ALL",
    "OURS",
    "PAPER_PROFILE",
    "PROFILES",
    "Operation",
    "Problem",
    "Profile",
    "load_operations",
    "profile_named",
]
