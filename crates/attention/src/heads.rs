//! Reading a projection head by head.

use std::ops::Range;

use weightscope_core::{AnalyzeError, DType, Layout, Order, Role, Weight, WeightView};

/// More heads than this are none; the largest models have 128.
const MOST_HEADS: u64 = 512;

/// Input features read at a time where a head's rows are stored columns.
const STRIP: u64 = 64;

/// Which heads a weight holds: q, k or v, alone or as a part of a fused weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// `q`, `k` or `v`.
    pub(crate) name: &'static str,
    /// First row of every head in the matrix `[out, in]`.
    pub(crate) starts: Vec<u64>,
    /// Rows per head.
    pub(crate) head_dim: u64,
}

/// The parts of an attention projection with known heads; none of anything else.
pub(crate) fn parts(weight: &Weight) -> Vec<Part> {
    let (Some(heads), Some([out, input])) = (weight.heads, weight.matrix) else {
        return Vec::new();
    };
    if !weight.dtype.is_some_and(DType::is_float) {
        return Vec::new();
    }
    let head_dim = u64::from(heads.head_dim);
    let part = |role: Role, rows: &[Range<u64>]| {
        let name = match role {
            // MLA's queries leave the second of two projections.
            Role::AttentionQ | Role::AttentionQUp => "q",
            Role::AttentionK => "k",
            Role::AttentionV => "v",
            _ => return None,
        };
        let whole = |r: &Range<u64>| {
            head_dim > 0 && r.end <= out && (r.end - r.start).is_multiple_of(head_dim)
        };
        if !rows.iter().all(whole) {
            return None;
        }
        let count = rows.iter().map(|r| (r.end - r.start) / head_dim).sum::<u64>();
        // A table of all pairs is never larger than the weight, whatever config.json says.
        if count > MOST_HEADS || count > head_dim.saturating_mul(input) {
            return None;
        }
        let starts = rows.iter().flat_map(|r| r.clone().step_by(head_dim as usize)).collect();
        Some(Part { name, starts, head_dim })
    };
    match weight.role {
        Role::AttentionQkv => weight.fused.iter().filter_map(|f| part(f.role, &f.rows)).collect(),
        role => part(role, &Layout::whole(out, 0).row_ranges).into_iter().collect(),
    }
}

/// What one look at a part's values yields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heads {
    /// Inner products of the heads' slices, each taken as one vector of `head_dim` x `in` values: row-major,
    /// heads x heads.
    gram: Vec<f64>,
    /// Mean of every head's rows: heads x `in`.
    means: Vec<f64>,
    count: usize,
}

impl Heads {
    /// Reads a part once.
    pub(crate) fn read(view: &WeightView<'_>, part: &Part) -> Result<Self, AnalyzeError> {
        let ([_, input], count) = (view.size(), part.starts.len());
        let mut heads = Self {
            gram: vec![0.0; count * count],
            means: vec![0.0; count * input as usize],
            count,
        };
        if view.weight().transposed {
            heads.read_strips(view, part, input)?;
        } else {
            heads.read_rows(view, part, input)?;
        }
        for (row, column) in (0..count).flat_map(|row| (0..row).map(move |column| (row, column))) {
            heads.gram[column * count + row] = heads.gram[row * count + column];
        }
        heads.means.iter_mut().for_each(|x| *x /= part.head_dim as f64);
        Ok(heads)
    }

    /// The same row of every head at a time.
    fn read_rows(
        &mut self,
        view: &WeightView<'_>,
        part: &Part,
        input: u64,
    ) -> Result<(), AnalyzeError> {
        let width = input as usize;
        let mut panel = vec![0.0; self.count * width];
        for row in 0..part.head_dim {
            for (start, into) in part.starts.iter().zip(panel.chunks_exact_mut(width)) {
                view.block(start + row..start + row + 1, 0..input, Order::RowMajor, into)?;
            }
            self.add_products(&panel, width);
            self.means.iter_mut().zip(&panel).for_each(|(mean, x)| *mean += x);
        }
        Ok(())
    }

    /// All rows of every head, a few input features at a time: they lie side by side in the stored rows.
    fn read_strips(
        &mut self,
        view: &WeightView<'_>,
        part: &Part,
        input: u64,
    ) -> Result<(), AnalyzeError> {
        let runs = part.runs();
        let (width, head_dim) = (input as usize, part.head_dim as usize);
        let mut panel = Vec::new();
        for first in (0..input).step_by(STRIP as usize) {
            let strip = first..input.min(first + STRIP);
            let columns = (strip.end - strip.start) as usize;
            panel.resize(self.count * head_dim * columns, 0.0);
            let mut filled = 0;
            for run in &runs {
                let length = (run.end - run.start) as usize * columns;
                let into = &mut panel[filled..filled + length];
                view.block(run.clone(), strip.clone(), Order::RowMajor, into)?;
                filled += length;
            }
            self.add_products(&panel, head_dim * columns);
            let means = self.means.chunks_exact_mut(width);
            for (head, mean) in panel.chunks_exact(head_dim * columns).zip(means) {
                let mean = &mut mean[first as usize..][..columns];
                for row in head.chunks_exact(columns) {
                    mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x);
                }
            }
        }
        Ok(())
    }

    /// Adds the inner products of the rows of `panel`, to the lower triangle.
    fn add_products(&mut self, panel: &[f64], width: usize) {
        for (row, a) in panel.chunks_exact(width).enumerate() {
            let sums = &mut self.gram[row * self.count..][..=row];
            for (sum, b) in sums.iter_mut().zip(panel.chunks_exact(width)) {
                *sum += dot(a, b);
            }
        }
    }

    /// How many heads there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Frobenius norm of a head's slice.
    pub(crate) fn norm(&self, head: usize) -> f64 {
        self.gram[head * self.count + head].sqrt()
    }

    /// Cosine of two heads' slices; not finite for a zero head.
    pub(crate) fn cosine(&self, a: usize, b: usize) -> f64 {
        if a == b && self.norm(a) > 0.0 {
            return 1.0;
        }
        (self.gram[a * self.count + b] / (self.norm(a) * self.norm(b))).clamp(-1.0, 1.0)
    }

    /// Mean of a head's rows.
    pub(crate) fn mean(&self, head: usize) -> &[f64] {
        let width = self.means.len() / self.count.max(1);
        &self.means[head * width..][..width]
    }

    /// Mean of 1 - cosine over all pairs of mean rows; `None` without a pair of non-zero ones.
    pub(crate) fn dissimilarity(&self) -> Option<f64> {
        let norms: Vec<f64> =
            (0..self.count).map(|h| dot(self.mean(h), self.mean(h)).sqrt()).collect();
        let (mut sum, mut pairs) = (0.0, 0u64);
        for a in (0..self.count).filter(|a| norms[*a] > 0.0) {
            for b in (0..a).filter(|b| norms[*b] > 0.0) {
                sum += 1.0 - dot(self.mean(a), self.mean(b)) / (norms[a] * norms[b]);
                pairs += 1;
            }
        }
        (pairs > 0).then(|| sum / pairs as f64)
    }
}

impl Part {
    /// Heads that follow each other, as unbroken rows.
    fn runs(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for start in &self.starts {
            match runs.last_mut() {
                Some(run) if run.end == *start => run.end += self.head_dim,
                _ => runs.push(*start..start + self.head_dim),
            }
        }
        runs
    }
}

/// Inner product in eight lanes, in an order that the length alone fixes.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_follow_each_other_are_one_run() {
        let part = Part { name: "q", starts: vec![0, 2, 8, 10, 20], head_dim: 2 };
        assert_eq!(part.runs(), [0..4, 8..12, 20..22]);
    }
}
