//! What a format has to say, and what follows from it.

use pulp::Arch;

use super::BlockFormat;
use crate::decode::f16_to_f32;

/// The mean square distance of numbers from the nearest integer.
pub(super) const EVEN: f64 = 1.0 / 12.0;

/// Blocks of `BYTES` bytes with `PARTS` scales, each for `SIZE` consecutive values: `point * step + offset`.
pub(super) trait Layout<const BYTES: usize, const PARTS: usize, const SIZE: usize> {
    /// What rounding costs: the mean square distance to the nearest point, of a number spread evenly over their
    /// range.
    const NOISE: f64 = EVEN;

    /// The integers that codes stand for.
    fn points(block: &[u8; BYTES]) -> [[i8; SIZE]; PARTS];

    /// The scale of every part; exact in `f32`, as are its products with points.
    fn steps(block: &[u8; BYTES]) -> [f32; PARTS];

    /// What is added in every part. Adding a negative zero changes nothing, not even the sign of a zero.
    #[inline(always)]
    fn offsets(_: &[u8; BYTES]) -> [f32; PARTS] {
        [-0.0; PARTS]
    }

    /// Whether a scale or a minimum is no number.
    #[inline(always)]
    fn spoiled(block: &[u8; BYTES]) -> bool {
        let finite = |scale: &f32| scale.is_finite();
        !(Self::steps(block).iter().all(finite) && Self::offsets(block).iter().all(finite))
    }
}

impl BlockFormat {
    /// The format of this name with the layout `L`.
    pub(super) const fn of<L, const BYTES: usize, const PARTS: usize, const SIZE: usize>(
        name: &'static str,
    ) -> Self
    where
        L: Layout<BYTES, PARTS, SIZE>,
    {
        Self {
            name,
            values: PARTS * SIZE,
            bytes: BYTES,
            decode: decode::<L, BYTES, PARTS, SIZE>,
            rounding_energy: rounding_energy::<L, BYTES, PARTS, SIZE>,
            spoiled: |blocks| blocks.as_chunks::<BYTES>().0.iter().any(L::spoiled),
        }
    }
}

fn decode<L, const BYTES: usize, const PARTS: usize, const SIZE: usize>(
    blocks: &[u8],
    out: &mut [f32],
) where
    L: Layout<BYTES, PARTS, SIZE>,
{
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let blocks = blocks.as_chunks::<BYTES>().0;
            for (block, values) in blocks.iter().zip(out.chunks_exact_mut(PARTS * SIZE)) {
                let (points, steps, offsets) =
                    (L::points(block), L::steps(block), L::offsets(block));
                for (part, values) in values.as_chunks_mut::<SIZE>().0.iter_mut().enumerate() {
                    for (value, point) in values.iter_mut().zip(&points[part]) {
                        *value = f32::from(*point) * steps[part] + offsets[part];
                    }
                }
            }
        },
    );
}

fn rounding_energy<L, const BYTES: usize, const PARTS: usize, const SIZE: usize>(
    blocks: &[u8],
) -> f64
where
    L: Layout<BYTES, PARTS, SIZE>,
{
    let square = |step: f32| f64::from(step) * f64::from(step);
    let steps = blocks.as_chunks::<BYTES>().0.iter().flat_map(L::steps);
    L::NOISE * SIZE as f64 * steps.map(square).sum::<f64>()
}

/// Mean square distance of numbers to the nearest of ascending points, over their range: a gap `g` adds `g^3 / 12`.
pub(super) const fn spread(points: &[i8]) -> f64 {
    let (mut cubes, mut i) = (0.0, 1);
    while i < points.len() {
        let gap = points[i] as f64 - points[i - 1] as f64;
        cubes += gap * gap * gap;
        i += 1;
    }
    cubes * EVEN / (points[points.len() - 1] as f64 - points[0] as f64)
}

/// The `N` bytes of a block from `at` on.
#[inline(always)]
pub(super) fn field<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    &block[at..].as_chunks().0[0]
}

/// The binary16 at `at`.
#[inline(always)]
pub(super) fn half(block: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes(*field(block, at)))
}
