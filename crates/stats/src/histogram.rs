//! Histograms with equal bins.

/// Bins of the standard histogram: odd, so that one is centred on the mean.
pub const HISTOGRAM_BINS: usize = 101;

/// Counts in equal bins from `low`, each `width` wide, with what fell outside on either side.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Left edge of the first bin.
    pub low: f64,
    /// Width of every bin.
    pub width: f64,
    /// Values per bin; a bin holds its left edge, the last also its right one.
    pub counts: Vec<u64>,
    /// Values below `low`.
    pub below: u64,
    /// Values above the last bin.
    pub above: u64,
}

/// Fills a [`Histogram`] of [`HISTOGRAM_BINS`] bins over mean ± 6 standard deviations.
#[derive(Clone, Debug)]
pub(crate) struct HistogramCounter {
    histogram: Histogram,
    bins_per_unit: f64,
}

impl HistogramCounter {
    /// An empty histogram around `mean`. `None` when `std` is zero or not finite.
    pub(crate) fn new(mean: f64, std: f64) -> Option<Self> {
        let width = 12.0 * std / HISTOGRAM_BINS as f64;
        let low = mean - 6.0 * std;
        (width > 0.0 && width.is_finite() && low.is_finite()).then(|| {
            let histogram =
                Histogram { low, width, counts: vec![0; HISTOGRAM_BINS], below: 0, above: 0 };
            Self { histogram, bins_per_unit: 1.0 / width }
        })
    }

    /// Where `x` belongs: 0 below, then the bins, then everything above. Never falls as `x` grows, because
    /// rounding keeps order: two values of one bin have everything between them in it.
    #[inline]
    pub(crate) fn place(&self, x: f64) -> usize {
        let position = (x - self.histogram.low) * self.bins_per_unit;
        if position < 0.0 {
            0
        } else if position == HISTOGRAM_BINS as f64 {
            HISTOGRAM_BINS
        } else {
            (position as usize).min(HISTOGRAM_BINS) + 1
        }
    }

    /// Adds `count` times the finite value `x`.
    #[inline]
    pub(crate) fn push(&mut self, x: f64, count: u64) {
        let place = self.place(x);
        let Histogram { counts, below, above, .. } = &mut self.histogram;
        match place.checked_sub(1).map(|bin| counts.get_mut(bin)) {
            None => *below += count,
            Some(Some(bin)) => *bin += count,
            Some(None) => *above += count,
        }
    }

    /// The finished histogram.
    pub(crate) fn finish(self) -> Histogram {
        self.histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lands_once() {
        let mut counter = HistogramCounter::new(0.0, 101.0 / 12.0).unwrap(); // width 1, from -50.5
        for (x, count) in [(-50.5, 1), (50.5, 2), (0.0, 3), (-60.0, 4), (51.0, 5)] {
            counter.push(x, count);
        }
        let h = counter.finish();
        assert_eq!((h.counts[0], h.counts[100], h.counts[50], h.below, h.above), (1, 2, 3, 4, 5));
        assert!(HistogramCounter::new(0.0, 0.0).is_none());
    }
}
