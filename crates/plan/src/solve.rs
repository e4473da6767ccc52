//! The knapsack: one option for each choice, the least error within a budget of bytes.
//!
//! The problem is the multiple-choice knapsack. Its relaxation to fractions of options has a simple optimum
//! (Sinha and Zoltners, "The multiple-choice knapsack problem", Operations Research 27, 1979): walk the lower
//! convex hulls of all choices by steepest descent until the budget is used up. That is the bound; rounding it
//! down is one start of the answer. Another is dynamic programming over the bytes above the smallest size, in
//! units as fine as time allows: exact where a unit divides every step. Single upgrades use what is left.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Most additions of the dynamic programme.
const MOST_STEPS: u64 = 40_000_000;
/// Most units that it divides the bytes into.
const MOST_UNITS: u64 = 16_384;

/// What one option takes and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Size.
    pub bytes: u64,
    /// Error, at least 0.
    pub error: f64,
}

/// An option for every choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// Index into the options of each choice.
    pub picks: Vec<usize>,
    /// Size of all, at most the budget.
    pub bytes: u64,
    /// Error of all.
    pub error: f64,
    /// No assignment within the budget has a smaller error.
    pub bound: f64,
}

/// Why there is no assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// The smallest options together are too large.
    #[error("the smallest options take {least} bytes")]
    TooSmall {
        /// What they take.
        least: u64,
    },
    /// A choice without options.
    #[error("choice {choice} has no options")]
    Empty {
        /// Its index.
        choice: usize,
    },
}

/// Picks one option for each of `choices` so that their bytes are at most `budget` and their error is small.
///
/// * `candidates`: assignments to start from besides the relaxed optimum; those over the budget are left out,
///   and the result is never worse than any other in summed error.
/// * The result's `bound` is the optimum of the linear relaxation: the distance of `error` to it is the most
///   that could be gained. Equal inputs give equal results; of equal options the first is taken.
/// * Cost: sorting all options, and a dynamic programme of up to 40 million additions and as many bytes. Tens of
///   thousands of choices take a second.
///
/// # Errors
/// [`SolveError`] when no assignment fits, or a choice has no options.
pub fn solve(
    choices: &[Vec<Cost>],
    budget: u64,
    candidates: &[Vec<usize>],
) -> Result<Solution, SolveError> {
    if let Some(choice) = choices.iter().position(Vec::is_empty) {
        return Err(SolveError::Empty { choice });
    }
    let hulls: Vec<Vec<usize>> = choices.iter().map(|options| hull(options)).collect();
    let least: Vec<usize> = hulls.iter().map(|hull| hull.first().copied().unwrap_or(0)).collect();
    let smallest = bytes_of(choices, &least);
    if smallest > budget {
        return Err(SolveError::TooSmall { least: smallest });
    }
    let divided = divide(choices, &least, budget - smallest);
    let (relaxed, bound) = relax(choices, &hulls, least, budget - smallest);
    let fits = |picks: &&Vec<usize>| {
        let indexed = picks.len() == choices.len()
            && picks.iter().zip(choices).all(|(pick, options)| *pick < options.len());
        indexed && bytes_of(choices, picks) <= budget
    };
    let starts =
        std::iter::once(relaxed).chain(divided).chain(candidates.iter().filter(fits).cloned());
    let mut best: Option<(f64, u64, Vec<usize>)> = None;
    for mut picks in starts {
        upgrade(choices, &mut picks, budget);
        let (error, bytes) = (error_of(choices, &picks), bytes_of(choices, &picks));
        let better = best.as_ref().is_none_or(|(least, size, _)| {
            error.total_cmp(least).then(bytes.cmp(size)) == Ordering::Less
        });
        if better {
            best = Some((error, bytes, picks));
        }
    }
    let (error, bytes, picks) = best.unwrap_or_default();
    // The two sums round differently.
    Ok(Solution { picks, bytes, error, bound: bound.min(error) })
}

/// Bytes of an assignment.
pub(crate) fn bytes_of(choices: &[Vec<Cost>], picks: &[usize]) -> u64 {
    picked(choices, picks).fold(0, |sum, cost| sum.saturating_add(cost.bytes))
}

/// Error of an assignment.
pub(crate) fn error_of(choices: &[Vec<Cost>], picks: &[usize]) -> f64 {
    picked(choices, picks).map(|cost| cost.error).sum()
}

fn picked<'a>(choices: &'a [Vec<Cost>], picks: &'a [usize]) -> impl Iterator<Item = &'a Cost> + 'a {
    choices.iter().zip(picks).filter_map(|(options, pick)| options.get(*pick))
}

/// Options on the lower convex hull of (bytes, error), from the smallest to the one with the least error.
fn hull(options: &[Cost]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..options.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&options[*a], &options[*b]);
        a.bytes.cmp(&b.bytes).then(a.error.total_cmp(&b.error))
    });
    let mut hull: Vec<usize> = Vec::new();
    for next in order {
        // Only what is better than everything smaller is of use.
        if hull.last().is_some_and(|last| options[*last].error <= options[next].error) {
            continue;
        }
        while let [.., before, last] = hull[..]
            && slope(options, before, last) <= slope(options, last, next)
        {
            hull.pop();
        }
        hull.push(next);
    }
    hull
}

/// Error saved per byte from `a` to the larger `b`.
fn slope(options: &[Cost], a: usize, b: usize) -> f64 {
    let (a, b) = (options[a], options[b]);
    (a.error - b.error) / b.bytes.saturating_sub(a.bytes).max(1) as f64
}

/// A step along a hull.
struct Step {
    choice: usize,
    to: usize,
    bytes: u64,
    gain: f64,
}

/// Walks all hulls by steepest descent while whole steps fit into `left` more bytes: the picks then, and the
/// error with the fraction of a step that uses the rest.
fn relax(
    choices: &[Vec<Cost>],
    hulls: &[Vec<usize>],
    least: Vec<usize>,
    mut left: u64,
) -> (Vec<usize>, f64) {
    let mut steps: Vec<Step> = Vec::new();
    for (choice, (options, hull)) in choices.iter().zip(hulls).enumerate() {
        steps.extend(hull.windows(2).map(|pair| Step {
            choice,
            to: pair[1],
            bytes: options[pair[1]].bytes - options[pair[0]].bytes,
            gain: options[pair[0]].error - options[pair[1]].error,
        }));
    }
    let ratio = |step: &Step| step.gain / step.bytes.max(1) as f64;
    // A stable sort: the steps of one choice, whose slopes fall, stay in order, and so do equal choices.
    steps.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)));
    let mut picks = least;
    let mut saved = 0.0;
    let start = error_of(choices, &picks);
    for step in steps {
        if step.bytes > left {
            saved += step.gain * (left as f64 / step.bytes as f64);
            break;
        }
        left -= step.bytes;
        saved += step.gain;
        picks[step.choice] = step.to;
    }
    (picks, (start - saved).max(0.0))
}

/// The optimum with sizes rounded up to units of `left` bytes above `least`; `None` where there are too many
/// choices for it to be of use.
fn divide(choices: &[Vec<Cost>], least: &[usize], left: u64) -> Option<Vec<usize>> {
    let options: u64 = choices.iter().map(|options| options.len() as u64).sum();
    // What all steps are multiples of: layers of one shape differ by the same sizes.
    let steps = choices.iter().zip(least).flat_map(|(options, least)| {
        options.iter().map(|option| option.bytes.saturating_sub(options[*least].bytes))
    });
    let grain = steps.fold(0, gcd).max(1);
    let grains = left / grain;
    let units = grains.min(MOST_UNITS).min(MOST_STEPS / options.max(1));
    if units < 64.min(grains) || choices.iter().any(|options| options.len() > 255) {
        return None;
    }
    let unit = grain * grains.div_ceil(units.max(1)).max(1);
    let width = (left / unit) as usize + 1;
    // errors[u]: the least error of the choices so far with at most u units; taken[c][u]: the option there.
    let mut errors = vec![0.0; width];
    let mut taken: Vec<Vec<u8>> = Vec::with_capacity(choices.len());
    for (options, least) in choices.iter().zip(least) {
        let base = options[*least].bytes;
        let mut next = vec![f64::INFINITY; width];
        let mut picks = vec![0u8; width];
        for (pick, option) in options.iter().enumerate() {
            let need = option.bytes.saturating_sub(base).div_ceil(unit);
            let Some(rest) = usize::try_from(need).ok().and_then(|need| width.checked_sub(need))
            else {
                continue;
            };
            for u in 0..rest {
                let error = errors[u] + option.error;
                let place = width - rest + u;
                if error < next[place] {
                    next[place] = error;
                    picks[place] = pick as u8;
                }
            }
        }
        errors = next;
        taken.push(picks);
    }
    let mut place = width - 1;
    let mut picks = vec![0; choices.len()];
    for (choice, table) in taken.iter().enumerate().rev() {
        let pick = usize::from(table[place]);
        picks[choice] = pick;
        let extra =
            choices[choice][pick].bytes.saturating_sub(choices[choice][least[choice]].bytes);
        place = place.checked_sub(usize::try_from(extra.div_ceil(unit)).ok()?)?;
    }
    Some(picks)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A change of one choice.
struct Upgrade {
    ratio: f64,
    choice: usize,
    to: usize,
}

impl Ord for Upgrade {
    /// By error saved for a byte; of equals the first choice and option are the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        let ratio = self.ratio.total_cmp(&other.ratio);
        ratio.then((other.choice, other.to).cmp(&(self.choice, self.to)))
    }
}

impl PartialOrd for Upgrade {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Upgrade {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Upgrade {}

/// Uses the bytes that are left: the single change that saves most error for a byte, while one fits.
fn upgrade(choices: &[Vec<Cost>], picks: &mut [usize], budget: u64) {
    let mut left = budget.saturating_sub(bytes_of(choices, picks));
    // What saves error and needs no byte comes first. From then on the bytes left only shrink, so that what
    // did not fit once never will.
    for (options, pick) in choices.iter().zip(&mut *picks) {
        let now = options[*pick];
        let free = options.iter().enumerate().filter(|(_, o)| o.bytes <= now.bytes);
        let best =
            free.min_by(|(_, a), (_, b)| a.error.total_cmp(&b.error).then(a.bytes.cmp(&b.bytes)));
        if let Some((to, option)) = best.filter(|(_, option)| option.error < now.error) {
            left += now.bytes - option.bytes;
            *pick = to;
        }
    }
    let best = |choice: usize, pick: usize, left: u64| {
        let options = &choices[choice];
        let now = options[pick];
        let ratio = |(to, option): (usize, &Cost)| {
            let (gain, extra) = (now.error - option.error, option.bytes.saturating_sub(now.bytes));
            let fits = gain > 0.0 && extra <= left;
            fits.then(|| Upgrade { ratio: gain / extra.max(1) as f64, choice, to })
        };
        options.iter().enumerate().filter_map(ratio).max()
    };
    let first = picks.iter().enumerate();
    let mut heap: BinaryHeap<Upgrade> =
        first.filter_map(|(choice, pick)| best(choice, *pick, left)).collect();
    while let Some(Upgrade { choice, to, .. }) = heap.pop() {
        let extra = choices[choice][to].bytes - choices[choice][picks[choice]].bytes;
        if extra <= left {
            left -= extra;
            picks[choice] = to;
        }
        heap.extend(best(choice, picks[choice], left));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cost(bytes: u64, error: f64) -> Cost {
        Cost { bytes, error }
    }

    /// The least error of all assignments within the budget.
    fn brute_force(choices: &[Vec<Cost>], budget: u64) -> Option<f64> {
        let mut best = None;
        let mut picks = vec![0; choices.len()];
        loop {
            if bytes_of(choices, &picks) <= budget {
                let error = error_of(choices, &picks);
                best = Some(best.map_or(error, |least: f64| least.min(error)));
            }
            let mut place = 0;
            loop {
                if place == picks.len() {
                    return best;
                }
                picks[place] += 1;
                if picks[place] < choices[place].len() {
                    break;
                }
                picks[place] = 0;
                place += 1;
            }
        }
    }

    #[test]
    fn hulls_leave_out_what_a_mixture_beats() {
        let options = [cost(4, 8.0), cost(6, 7.9), cost(8, 1.0), cost(8, 2.0), cost(16, 0.0)];
        assert_eq!(hull(&options), [0, 2, 4]);
        // More bytes for more error are never of use.
        assert_eq!(hull(&[cost(4, 1.0), cost(8, 1.0), cost(9, 2.0)]), [0]);
    }

    #[test]
    fn loose_and_tight_budgets_have_the_optimum() {
        let choices = vec![vec![cost(4, 1.0), cost(8, 0.1), cost(16, 0.0)]; 3];
        let loose = solve(&choices, 48, &[]).unwrap();
        assert_eq!((loose.bytes, loose.error, loose.bound), (48, 0.0, 0.0));
        let tight = solve(&choices, 12, &[]).unwrap();
        assert_eq!((tight.bytes, tight.error, tight.bound), (12, 3.0, 3.0));
        assert_eq!(solve(&choices, 11, &[]), Err(SolveError::TooSmall { least: 12 }));
        assert_eq!(solve(&[vec![]], 11, &[]), Err(SolveError::Empty { choice: 0 }));
        assert_eq!(solve(&[], 0, &[]).unwrap().picks, Vec::<usize>::new());
    }

    #[test]
    fn left_over_bytes_are_used_off_the_hull() {
        // The step to (10, 0) does not fit; (6, 7.9) lies above the hull and does.
        let choices = vec![vec![cost(4, 8.0), cost(6, 7.9), cost(10, 0.0)]];
        let solution = solve(&choices, 7, &[]).unwrap();
        assert_eq!((solution.picks[0], solution.error), (1, 7.9));
        assert!((solution.bound - 4.0).abs() < 1e-12);
    }

    #[test]
    fn equal_choices_are_taken_in_order() {
        let choices = vec![vec![cost(1, 1.0), cost(2, 0.0)]; 4];
        assert_eq!(solve(&choices, 6, &[]).unwrap().picks, [1, 1, 0, 0]);
    }

    fn instances() -> impl Strategy<Value = (Vec<Vec<Cost>>, f64)> {
        let option = (1u64..40, 0u32..1000).prop_map(|(b, e)| cost(b, f64::from(e) / 64.0));
        let choice = prop::collection::vec(option, 1..5);
        (prop::collection::vec(choice, 1..7), 0.0..1.0f64)
    }

    #[test]
    fn many_choices_come_near_the_bound() {
        // Three sizes of matrices, four schemes with errors that differ from block to block.
        let choice = |i: u64| {
            let n = [1 << 20, 1 << 22, 11 << 20][(i % 3) as usize];
            let hard = 1.0 + 0.37 * ((i * i * 7919) % 101) as f64 / 101.0;
            let option = |bits: u64, error: f64| cost(n * bits / 8, error * hard);
            vec![option(16, 0.0), option(4, 1e-2), option(5, 2.6e-3), option(8, 4e-5)]
        };
        let choices: Vec<Vec<Cost>> = (0..400).map(choice).collect();
        let all: u64 = choices.iter().map(|c| c[0].bytes / 16).sum();
        for bits in [5, 6, 7, 9, 12] {
            let solution = solve(&choices, all * bits, &[]).unwrap();
            assert!(solution.bytes <= all * bits);
            let gap = solution.error / solution.bound - 1.0;
            assert!(gap < 0.01, "{bits} bits: {gap}");
        }
    }

    proptest! {
        #[test]
        fn within_the_budget_above_the_bound_and_near_the_optimum((choices, share) in instances()) {
            let sum = |pick: fn(u64, u64) -> u64| -> u64 {
                choices.iter().map(|c| c.iter().map(|o| o.bytes).reduce(pick).unwrap()).sum()
            };
            let (low, high) = (sum(u64::min), sum(u64::max));
            let budget = low + ((high - low) as f64 * share) as u64;
            let solution = solve(&choices, budget, &[]).unwrap();
            prop_assert!(solution.bytes <= budget);
            prop_assert_eq!(solution.bytes, bytes_of(&choices, &solution.picks));
            let best = brute_force(&choices, budget).unwrap();
            prop_assert!(solution.bound <= best + 1e-9, "bound {} above {best}", solution.bound);
            prop_assert!(solution.error >= best - 1e-9);
            // So few bytes are divided into units of one.
            prop_assert!(solution.error - best <= 1e-9, "{} is above {best}", solution.error);
            let ends = [(low, solve(&choices, low, &[])), (high, solve(&choices, high, &[]))];
            for (budget, solution) in ends {
                let best = brute_force(&choices, budget).unwrap();
                prop_assert!((solution.unwrap().error - best).abs() < 1e-9);
            }
        }

        #[test]
        fn never_worse_than_a_candidate_that_fits(
            (choices, share) in instances(),
            seed in prop::collection::vec(0usize..5, 7),
        ) {
            let candidate: Vec<usize> =
                choices.iter().zip(&seed).map(|(options, s)| s % options.len()).collect();
            let (bytes, error) = (bytes_of(&choices, &candidate), error_of(&choices, &candidate));
            let budget = bytes + (share * 20.0) as u64;
            let solution = solve(&choices, budget, &[candidate]).unwrap();
            prop_assert!(solution.error <= error + 1e-9 && solution.bytes <= budget);
        }
    }
}
