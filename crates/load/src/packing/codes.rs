//! What codes stand for before their factors: plain elements, nibbles of E2M1, streams of bits.

use weightscope_codec::codes;
use weightscope_core::DType;

use super::{Parts, RestoreError, Tile};

/// How the codes of a matrix are stored, each row by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codes {
    /// Elements of a type, read as numbers.
    Plain(DType),
    /// E2M1 floats, two to a byte, the first one low.
    E2M1,
    /// Integers of 1 to 8 bits, the first one lowest, in a stream of bits or with none across two words of 32; in place
    /// of the code `offset` stands zero.
    Bits {
        bits: u32,
        layout: Words,
        /// Subtracted from each.
        offset: u8,
    },
}

/// How codes lie in 32-bit words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// One after the other.
    Dense,
    /// As many as a word holds whole; bits are left over.
    Whole,
}

impl Words {
    /// Words that `count` codes of `bits` bits take.
    pub(super) fn needed(self, count: u64, bits: u32) -> Option<u64> {
        match self {
            Self::Dense => Some(count.checked_mul(u64::from(bits))?.div_ceil(32)),
            Self::Whole => {
                let in_a_word = 32u32.checked_div(bits).filter(|count| *count > 0)?;
                Some(count.div_ceil(u64::from(in_a_word)))
            }
        }
    }
}

/// The root mean square distance to the nearest E2M1 number, of numbers spread evenly over their range: a gap `g` adds
/// `g^3 / 12`.
const E2M1_NOISE: f64 = 0.381_881_307_912_986_65;
/// The same of integers.
const INTEGER_NOISE: f64 = 0.288_675_134_594_812_9;

impl Codes {
    /// Bytes of a row of `columns` codes.
    pub(super) fn row_bytes(self, columns: u64) -> Option<u64> {
        match self {
            Self::Plain(dtype) => columns.checked_mul(dtype.bytes() as u64),
            Self::E2M1 => Some(columns.div_ceil(2)),
            Self::Bits { bits, layout, .. } => layout.needed(columns, bits)?.checked_mul(4),
        }
    }

    /// Root mean square error of rounding to them, in units of the codes; `None` of floats, whose spacing varies.
    pub(super) fn noise(self) -> Option<f64> {
        match self {
            Self::Plain(dtype) if dtype.is_float() => None,
            Self::E2M1 => Some(E2M1_NOISE),
            Self::Plain(_) | Self::Bits { .. } => Some(INTEGER_NOISE),
        }
    }

    /// The numbers of a tile, exact in `f32`. `row_bytes` is what a row takes in part 0.
    pub(super) fn numbers(
        self,
        tile: &Tile,
        row_bytes: u64,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        let is_whole_rows = tile.rows.end.saturating_sub(tile.rows.start) != 1;
        // Bytes of a row that hold the columns asked for, and how many codes of them come before.
        let (within, skip) = if is_whole_rows {
            (0..row_bytes, 0)
        } else {
            let (first, last) = (tile.columns.start, tile.columns.end);
            let [bytes, codes] = self.atom();
            let start = first.checked_div(codes).unwrap_or(0).saturating_mul(bytes);
            let end = last.div_ceil(codes.max(1)).saturating_mul(bytes).min(row_bytes);
            (start..end, first.checked_rem(codes).unwrap_or(0))
        };
        let start = tile.rows.start.saturating_mul(row_bytes).saturating_add(within.start);
        let last = tile.rows.end.saturating_sub(1).saturating_mul(row_bytes);
        let bytes = parts.bytes(0, start..last.saturating_add(within.end))?;
        if let Self::Plain(dtype) = self {
            return Ok(weightscope_codec::decode_f32(dtype, &bytes, into)?);
        }
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (skip, stride) = (size(skip), size(within.end.saturating_sub(within.start)).max(1));
        for (row, out) in bytes.chunks(stride).zip(into.chunks_mut(tile.width().max(1))) {
            self.unpack(row, skip, out)?;
        }
        Ok(())
    }

    /// So many bytes hold so many codes, and none of the next ones.
    fn atom(self) -> [u64; 2] {
        match self {
            Self::Plain(dtype) => [dtype.bytes() as u64, 1],
            Self::E2M1 => [1, 2],
            Self::Bits { bits, layout: Words::Dense, .. } => [u64::from(bits), 8],
            Self::Bits { bits, layout: Words::Whole, .. } => {
                [4, u64::from(32u32.checked_div(bits).unwrap_or(1))]
            }
        }
    }

    /// Codes of one row from number `skip` of the atom that `bytes` begin with.
    fn unpack(self, bytes: &[u8], skip: usize, out: &mut [f32]) -> Result<(), RestoreError> {
        match self {
            Self::Plain(_) => {}
            Self::E2M1 => {
                atoms::<1, 2>(bytes, skip, out, |[byte]| PAIRS.get(usize::from(byte)).copied());
            }
            Self::Bits { bits, layout: Words::Dense, offset } => {
                let (mut codes, mut first) = ([0; 512], skip);
                let offset = f32::from(offset);
                for out in out.chunks_mut(codes.len()) {
                    let (codes, _) = codes.split_at_mut(out.len());
                    codes::unpack_bits(bits, bytes, first, codes)?;
                    for (value, code) in out.iter_mut().zip(codes) {
                        *value = f32::from(*code) - offset;
                    }
                    first = first.saturating_add(out.len());
                }
            }
            Self::Bits { bits, layout: Words::Whole, offset } => match bits {
                1 => whole::<1, 32>(bytes, skip, offset, out),
                2 => whole::<2, 16>(bytes, skip, offset, out),
                3 => whole::<3, 10>(bytes, skip, offset, out),
                4 => whole::<4, 8>(bytes, skip, offset, out),
                5 => whole::<5, 6>(bytes, skip, offset, out),
                6 => whole::<6, 5>(bytes, skip, offset, out),
                7 => whole::<7, 4>(bytes, skip, offset, out),
                _ => whole::<8, 4>(bytes, skip, offset, out),
            },
        }
        Ok(())
    }
}

/// The two E2M1 numbers of every byte.
#[expect(clippy::indexing_slicing, reason = "four bits, and a byte")]
static PAIRS: [[f32; 2]; 256] = {
    let (mut pairs, mut byte) = ([[0.0; 2]; 256], 0);
    while byte < 256 {
        pairs[byte] = [codes::E2M1[byte & 15], codes::E2M1[byte >> 4]];
        byte += 1;
    }
    pairs
};

/// Codes in atoms of `B` bytes, of which each holds `N`. What is missing at the end of `bytes` reads as zero.
#[inline(always)]
fn atoms<const B: usize, const N: usize>(
    bytes: &[u8],
    skip: usize,
    out: &mut [f32],
    numbers: impl Fn([u8; B]) -> Option<[f32; N]>,
) {
    let last = |bytes: &[u8]| {
        let mut atom = [0; B];
        for (to, from) in atom.iter_mut().zip(bytes) {
            *to = *from;
        }
        numbers(atom).unwrap_or([0.0; N])
    };
    let (first, rest) = bytes.split_at(if skip == 0 { 0 } else { B.min(bytes.len()) });
    let (head, out) =
        out.split_at_mut(if skip == 0 { 0 } else { N.saturating_sub(skip).min(out.len()) });
    for (value, number) in head.iter_mut().zip(last(first).iter().skip(skip)) {
        *value = *number;
    }
    let (whole, short) = rest.as_chunks::<B>();
    let (places, tail) = out.as_chunks_mut::<N>();
    for (place, atom) in places.iter_mut().zip(whole) {
        if let Some(numbers) = numbers(*atom) {
            *place = numbers;
        }
    }
    // An atom of which not all codes are wanted, nor all bytes there.
    let left = whole.get(places.len()).map_or(short, |atom| atom.as_slice());
    for (value, number) in tail.iter_mut().zip(last(left)) {
        *value = number;
    }
}

/// `N` codes of `B` bits to a word.
#[inline(always)]
fn whole<const B: u32, const N: usize>(bytes: &[u8], skip: usize, offset: u8, out: &mut [f32]) {
    let (offset, mask) = (f32::from(offset), 1u32.wrapping_shl(B).wrapping_sub(1));
    atoms::<4, N>(bytes, skip, out, |word| {
        let mut left = u32::from_le_bytes(word);
        Some(std::array::from_fn(|_| {
            let [code, ..] = (left & mask).to_le_bytes();
            left = left.wrapping_shr(B);
            f32::from(code) - offset
        }))
    });
}
