"""The engines that are compared, by the name given to --peers."""

from .duckdb import DuckDb
from .questdb import QuestDb
from .tidemill import Tidemill
from .victoriametrics import VictoriaMetrics

BY_NAME = {
    "tidemill": Tidemill,
    "questdb": QuestDb,
    "victoriametrics": VictoriaMetrics,
    "duckdb": DuckDb,
}
