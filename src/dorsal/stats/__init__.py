"""Statistics of trials: data in, data out. Nothing here renders or imports the rest of Dorsal."""

from dorsal.stats.compare import Comparisons, Pair, compare_arms
from dorsal.stats.interval import Interval, mean_interval
from dorsal.stats.sentence import caveats, sentence
from dorsal.stats.variance import Share, Shares, variance_shares

__all__ = [
    "Comparisons",
    "Interval",
    "Pair",
    "Share",
    "Shares",
    "caveats",
    "compare_arms",
    "mean_interval",
    "sentence",
    "variance_shares",
]
