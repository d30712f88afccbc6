"""Dataplanes that pick endpoints otherwise than at random and evenly."""

import random

from msgspec.structs import replace

from pointsman.core.backend import DataplaneSettings
from pointsman.core.model import Endpoint
from pointsman.core.packet import Packet, Verdict

from .base import Mutant


class FavoursTheFirst(Mutant):
    caught_by = "test_balancing::test_all_endpoints_have_an_even_share"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if not verdict.endpoints:
            return verdict
        first, *others = verdict.endpoints
        return replace(verdict, endpoints=(replace(first, weight=2), *others))


class IgnoresWeights(Mutant):
    caught_by = "test_balancing::test_weights_are_shares"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return replace(verdict, endpoints=tuple(replace(e, weight=1) for e in verdict.endpoints))


class NeverPicksTheLast(Mutant):
    caught_by = "test_cluster_ip::test_every_client_reaches_every_endpoint"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return replace(verdict, endpoints=verdict.endpoints[:-1] or verdict.endpoints)


class TakesTurns(Mutant):
    caught_by = "test_balancing::test_all_endpoints_have_an_even_share"

    turn = 0

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if not verdict.endpoints:
            return verdict
        self.turn += 1
        return replace(verdict, endpoints=(verdict.endpoints[self.turn % len(verdict.endpoints)],))


class PicksTheSameAgain(Mutant):
    """One time in three: shares stay even, but a pick tells of the next."""

    caught_by = "test_balancing::test_all_endpoints_have_an_even_share"

    def __init__(self, settings: DataplaneSettings) -> None:
        super().__init__(settings)
        self.random = random.Random(0)
        self.last: Endpoint | None = None

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if not verdict.endpoints:
            return verdict
        if self.last not in verdict.endpoints or self.random.random() > 1 / 3:
            self.last = self.random.choice(verdict.endpoints)
        return replace(verdict, endpoints=(self.last,))


class CountsOneTooMany(Mutant):
    """The first of n is picked one time in n + 1, and so on: what is left over is the last one's."""

    caught_by = "test_balancing::test_all_endpoints_have_an_even_share"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if not verdict.endpoints:
            return verdict
        *others, last = verdict.endpoints
        return replace(verdict, endpoints=(*others, replace(last, weight=2 * last.weight)))
