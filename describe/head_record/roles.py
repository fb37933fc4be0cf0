"""A head's roles as people read them: their tokens, what these promote or suppress, and how far that is borne out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from describe.head_record.descriptions import DescriptionRecord
from describe.head_record.findings import RoleRecord
from describe.mappings import MappingRow, Target
from describe.text import quoted

__all__ = ["RoleShown", "roles_shown"]

MOST = 8
"""Sources and targets of a role that are named."""


@dataclass(frozen=True, slots=True)
class RoleShown:
    """A role with what its rows hold.

    Attributes:
        sources: the rows' source tokens, the most salient first.
        targets: the tokens that most of these rows promote, or suppress where that is what the role does.
        verdict: on its best description; ``not described`` where there is none.
    """

    role: RoleRecord
    sources: Sequence[MappingRow]
    targets: Sequence[Target]
    verdict: str

    @property
    def words(self) -> str:
        """The role in a line: what it does, to which tokens, how much of the head it is, and the verdict."""
        sources, targets = (" ".join(quoted(one.token) for one in some) for some in (self.sources, self.targets))
        much = f"{self.role.share:.0%} of the saliency, {len(self.role.rows)} rows"
        return f"{self.role.sign} {targets} for {sources} ({much}; {self.verdict})"


def roles_shown(
    roles: Sequence[RoleRecord], salient: Sequence[MappingRow], described: Sequence[DescriptionRecord]
) -> tuple[RoleShown, ...]:
    """Roles of a head; ``described``: its descriptions, the best first."""
    verdicts = {one.role: _verdict(one) for one in reversed(described) if one.role}
    return tuple(
        RoleShown(
            role,
            [salient[place] for place in role.rows[:MOST]],
            _commonest([salient[place] for place in role.rows], role.sign),
            verdicts.get(role.role, "not described"),
        )
        for role in roles
    )


def _verdict(one: DescriptionRecord) -> str:
    return one.verdict if one.state == "described" else one.state


def _commonest(rows: Sequence[MappingRow], sign: str) -> list[Target]:
    """The targets of most rows; of those of as many rows the one that stands highest in them."""
    places: dict[int, list[int]] = defaultdict(list)
    named: dict[int, Target] = {}
    for row in rows:
        for place, target in enumerate(row.targets if sign == "promotes" else row.suppressed):
            places[target.token_id].append(place)
            named.setdefault(target.token_id, target)
    order = sorted(places, key=lambda token: (-len(places[token]), sum(places[token])))
    return [named[token] for token in order[:MOST]]
