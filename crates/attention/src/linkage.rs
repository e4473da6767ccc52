//! Which heads belong together: a tree of merges by Ward's criterion.

use kodama::Method;

use crate::heads::Heads;

/// One merge, as a row of scipy's linkage matrix: two clusters (heads first, then merges in order), the
/// distance between them, and how many heads they hold together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merge {
    /// The clusters, the smaller number first.
    pub clusters: [usize; 2],
    /// Ward distance.
    pub height: f64,
    /// Heads in the merged cluster.
    pub size: usize,
}

/// Ward's hierarchical clustering of `points` by Euclidean distance: one merge fewer than there are points,
/// lowest first, equal to `scipy.cluster.hierarchy.linkage(points, "ward")`. Cost: quadratic in the number
/// of points, times their length for the distances (Ward 1963; algorithm of Müllner, arXiv 1109.2378). No
/// merges of fewer than two points, or when a coordinate is not finite.
pub fn ward_linkage(points: &[&[f64]]) -> Vec<Merge> {
    let largest = points.iter().copied().flatten().fold(0.0, |largest: f64, x| {
        // `max` would pass over NaN.
        if x.is_nan() { f64::INFINITY } else { x.abs().max(largest) }
    });
    if points.len() < 2 || !largest.is_finite() {
        return Vec::new();
    }
    // A power of two near 1/largest: squares of distances neither overflow nor vanish, and nothing is rounded.
    let exponent = if largest > 0.0 { largest.log2().floor().clamp(-1000.0, 1000.0) } else { 0.0 };
    let scale = 2f64.powi(-exponent as i32);
    let mut distances = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, a) in points.iter().enumerate() {
        for b in points.iter().skip(index + 1) {
            let squares = a.iter().zip(*b).map(|(a, b)| (scale * a - scale * b).powi(2));
            distances.push(squares.sum::<f64>().sqrt());
        }
    }
    let tree = kodama::linkage(&mut distances, points.len(), Method::Ward);
    let merge = |step: &kodama::Step<f64>| Merge {
        clusters: [step.cluster1, step.cluster2],
        height: step.dissimilarity / scale,
        size: step.size,
    };
    tree.steps().iter().map(merge).collect()
}

/// The tree of a part's heads, by their mean rows.
pub(crate) fn of_heads(heads: &Heads) -> Vec<Merge> {
    let means: Vec<&[f64]> = (0..heads.count()).map(|head| heads.mean(head)).collect();
    ward_linkage(&means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pairs_on_a_line() {
        let points: [&[f64]; 4] = [&[0.0], &[10.0], &[1.0], &[12.0]];
        let merges = ward_linkage(&points);
        // Pairs first, then their means 0.5 and 11 with weights 2 and 2: sqrt(2 * 2 * 2 / 4) * 10.5.
        assert_eq!(merges[0], Merge { clusters: [0, 2], height: 1.0, size: 2 });
        assert_eq!(merges[1], Merge { clusters: [1, 3], height: 2.0, size: 2 });
        assert_eq!((merges[2].clusters, merges[2].size), ([4, 5], 4));
        assert!((merges[2].height - 2f64.sqrt() * 10.5).abs() < 1e-12);
    }

    #[test]
    fn heights_grow_with_the_points_at_any_scale() {
        let at = |size: f64| ward_linkage(&[&[0.0], &[10.0 * size], &[size], &[12.0 * size]]);
        for size in [f64::MIN_POSITIVE, 2f64.powi(-540), 2f64.powi(600), 2f64.powi(1019)] {
            for (merge, plain) in at(size).iter().zip(at(1.0)) {
                assert_eq!(*merge, Merge { height: size * plain.height, ..plain });
            }
        }
        assert_eq!(ward_linkage(&[&[0.0], &[f64::NAN]]), []);
        assert_eq!(ward_linkage(&[&[0.0], &[f64::INFINITY]]), []);
        assert_eq!(ward_linkage(&[&[1.0]]), []);
    }
}
