"""The projections as one program has them: folds, tables and versions. PURE.

Two programs may work on one database side by side, the old beside the new; each keeps the generations of its own
edition. A projection's version is the one its fold gives itself and a digest of its tables, so that neither a new
meaning nor a new column goes unnoticed.
"""

import re
from collections.abc import Iterable

from projections import sql
from projections.fold import Fold, Table
from projections.views import PROJECTIONS, SKIPPED, Views


class Edition:
    """``version``: a short text that is the same for the same projections. ``versions``: that of each, by its name.

    ``tables``: all tables; ``tables_of``: those of each projection, by its name.
    """

    def __init__(self, projections: Iterable[type[Fold]] = PROJECTIONS) -> None:
        self._projections = tuple(projections)
        self.tables: tuple[Table, ...] = self.views().tables()
        self.tables_of: dict[str, tuple[Table, ...]] = {
            **{_name(projection): projection.TABLES for projection in self._projections},
            SKIPPED.name: (SKIPPED,),
        }
        numbers = {_name(projection): projection.VERSION for projection in self._projections}
        self.versions: dict[str, str] = {
            name: f"{numbers.get(name, 1)}.{sql.digest(*(sql.table_sql(t, '').definition for t in tables))[:8]}"
            for name, tables in self.tables_of.items()
        }
        self.version = sql.digest(*(f"{name} {version}" for name, version in self.versions.items()))[:12]

    def views(self) -> Views:
        """Empty views of these projections."""
        return Views(self._projections)


def _name(projection: type[Fold]) -> str:
    """``PortStates`` → ``port_states``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", projection.__name__).lower()


#: The projections of this program.
CURRENT = Edition()
