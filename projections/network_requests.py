"""Which requests about networks have their answer. A fold of IPAM alone: it is nobody's table."""

from bus.envelope import Recorded
from bus.events import NetworkCreated, NetworkGatewayChanged, NetworkRefused
from projections.fold import NOTHING, Fold, Touched, on


class NetworkRequests(Fold):
    """Requests by their correlation, each with the network that it was about: one may ask for several networks."""

    def __init__(self) -> None:
        super().__init__()
        self._answered: set[tuple[str, str]] = set()
        self._created: dict[str, str] = {}

    def has_answer(self, network: str, correlation: str) -> bool:
        """Whether this request was granted or refused."""
        return (network, correlation) in self._answered

    def created_by(self, network: str, correlation: str) -> bool:
        """Whether this request made ``network``: then it also is to get its subnet."""
        return self._created.get(network) == correlation

    @on(NetworkCreated)
    def _network(self, r: Recorded, e: NetworkCreated) -> tuple[Touched, ...]:
        self._created.setdefault(e.network, r.correlation)
        return NOTHING

    @on(NetworkRefused, NetworkGatewayChanged)
    def _ended(self, r: Recorded, e: NetworkRefused | NetworkGatewayChanged) -> tuple[Touched, ...]:
        self._answered.add((e.network, r.correlation))
        return NOTHING
