"""Latency histograms as the generator writes them: pairs of microseconds and a count."""


def merged(histograms):
    """One histogram of all."""
    counts = {}
    for histogram in histograms:
        for value, count in histogram:
            counts[value] = counts.get(value, 0) + count
    return sorted(counts.items())


def quantile_ms(histogram, share):
    """The smallest value that so many of all do not exceed, in ms; None of none."""
    total = sum(count for _, count in histogram)
    seen = 0
    for value, count in histogram:
        seen += count
        if seen >= share * total:
            return value / 1000
    return None
