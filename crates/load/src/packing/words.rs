//! Codes of 2 to 8 bits in 32-bit words, as GPTQ's tools lay them out along one axis.

use std::ops::Range;

use weightscope_codec::{DecodeError, codes::unpack_bits};

/// Bits of a word.
const WORD: u64 = 32;

/// How codes follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// One bit stream, low bits first; a code of 3 bits may lie in two words.
    Stream,
    /// In every 32 codes first the low bits of all, then the next ones: planes of 4, 2 and 1 bits, each in whole words.
    Planes,
}

/// Widths of the planes of a code, low bits first; a width of 0 is none.
const PLANES: [(u32, [u32; 3]); 7] = [
    (2, [2, 0, 0]),
    (3, [2, 1, 0]),
    (4, [4, 0, 0]),
    (5, [4, 1, 0]),
    (6, [4, 2, 0]),
    (7, [4, 2, 1]),
    (8, [8, 0, 0]),
];

/// How the codes along one axis lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) order: Order,
    /// 2 to 8.
    pub(crate) bits: u32,
}

/// Where a part of a code lies: `((word >> right) & mask) << left`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) word: u64,
    pub(crate) right: u32,
    pub(crate) mask: u32,
    pub(crate) left: u32,
}

impl Piece {
    /// Its part of the code.
    #[inline(always)]
    pub(crate) fn of(&self, word: u32) -> u32 {
        (word.wrapping_shr(self.right) & self.mask).wrapping_shl(self.left)
    }
}

/// The lowest `bits` bits.
fn low(bits: u32) -> u32 {
    1u32.wrapping_shl(bits).wrapping_sub(1)
}

impl Layout {
    /// How many codes `words` words hold; `None` when they are no whole number.
    pub(crate) fn count(self, words: u64) -> Option<u64> {
        let (stored, bits) = (words.checked_mul(WORD)?, u64::from(self.bits));
        stored.checked_rem(bits).filter(|rest| *rest == 0)?;
        stored.checked_div(bits)
    }

    /// The words that hold the codes `codes`.
    pub(crate) fn words(self, codes: &Range<u64>) -> Range<u64> {
        let bits = u64::from(self.bits);
        match self.order {
            Order::Stream => {
                let start = codes.start.saturating_mul(bits).checked_div(WORD).unwrap_or(0);
                start..codes.end.saturating_mul(bits).div_ceil(WORD)
            }
            Order::Planes => {
                let start = codes.start.checked_div(WORD).unwrap_or(0).saturating_mul(bits);
                start..codes.end.div_ceil(WORD).saturating_mul(bits)
            }
        }
    }

    /// The parts of the code `at`; those that do not exist have an empty mask.
    pub(crate) fn pieces(self, at: u64) -> [Piece; 3] {
        let none = Piece { word: 0, right: 0, mask: 0, left: 0 };
        let mut pieces = [none; 3];
        match self.order {
            Order::Stream => {
                let bit = at.saturating_mul(u64::from(self.bits));
                let word = bit.checked_div(WORD).unwrap_or(0);
                let right = u32::try_from(bit.checked_rem(WORD).unwrap_or(0)).unwrap_or(0);
                let here = self.bits.min(32u32.saturating_sub(right));
                let mask = low(here);
                let there = low(self.bits.saturating_sub(here));
                pieces[0] = Piece { word, right, mask, left: 0 };
                let word = word.saturating_add(1);
                pieces[1] = Piece { word, right: 0, mask: there, left: here };
            }
            Order::Planes => {
                let block = at.checked_div(WORD).unwrap_or(0);
                let within = u32::try_from(at.checked_rem(WORD).unwrap_or(0)).unwrap_or(0);
                let mut word = block.saturating_mul(u64::from(self.bits));
                let mut left = 0u32;
                let widths = PLANES.iter().find(|(bits, _)| *bits == self.bits);
                let widths = widths.map_or([0; 3], |(_, widths)| *widths);
                for (piece, width) in pieces.iter_mut().zip(widths) {
                    let Some(per_word) = 32u32.checked_div(width) else { break };
                    let index = within.checked_div(per_word).unwrap_or(0);
                    let right = within.checked_rem(per_word).unwrap_or(0).saturating_mul(width);
                    let at = word.saturating_add(u64::from(index));
                    *piece = Piece { word: at, right, mask: low(width), left };
                    // A plane of so many bits takes as many words.
                    word = word.saturating_add(u64::from(width));
                    left = left.saturating_add(width);
                }
            }
        }
        pieces
    }

    /// The words from the block of 32 codes on that the first of `codes` lies in, to the last that is needed.
    pub(crate) fn whole_words(self, codes: &Range<u64>) -> Range<u64> {
        let block = codes.start.checked_div(WORD).unwrap_or(0);
        block.saturating_mul(u64::from(self.bits))..self.words(codes).end
    }

    /// Codes from `first` on out of the words from [`Layout::whole_words`] on.
    ///
    /// # Errors
    /// When the words do not hold them all.
    pub(crate) fn unpack(
        self,
        words: &[u8],
        first: u64,
        into: &mut [u8],
    ) -> Result<(), DecodeError> {
        let within = first.checked_rem(WORD).unwrap_or(0);
        if self.order == Order::Stream {
            let within = usize::try_from(within).unwrap_or(0);
            return unpack_bits(self.bits, words, within, into);
        }
        let (words, _) = words.as_chunks::<4>();
        for (at, code) in (within..).zip(into) {
            let part = |piece: &Piece| {
                let word = words.get(usize::try_from(piece.word).ok()?)?;
                Some(piece.of(u32::from_le_bytes(*word)))
            };
            // Empty pieces add nothing.
            let parts = self.pieces(at);
            let all = parts.iter().filter_map(part).fold(0, |code, part| code | part);
            *code = u8::try_from(all).unwrap_or(u8::MAX);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of codes, bit by bit.
    fn stream(bits: u32, codes: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0u8; (codes.len() * bits as usize).div_ceil(32) * 4];
        for (at, code) in codes.iter().enumerate() {
            for bit in 0..bits as usize {
                let place = at * bits as usize + bit;
                bytes[place / 8] |= ((code >> bit & 1) as u8) << (place % 8);
            }
        }
        bytes
    }

    #[test]
    fn a_stream_is_read_from_anywhere() {
        for bits in 2..=8 {
            let codes: Vec<u32> = (0..64).map(|i| (i * 37 + 11) & low(bits)).collect();
            let bytes = stream(bits, &codes);
            let layout = Layout { order: Order::Stream, bits };
            for first in 0..40u64 {
                let range = first..first + 20;
                let words = layout.whole_words(&range);
                let bytes = &bytes[words.start as usize * 4..words.end as usize * 4];
                let mut found = [0; 20];
                layout.unpack(bytes, first, &mut found).unwrap();
                let expected = codes[first as usize..][..20].iter().map(|code| *code as u8);
                assert!(found.iter().copied().eq(expected), "{bits} bits from {first}");
            }
        }
    }

    #[test]
    fn single_planes_are_streams() {
        for bits in [2, 4, 8] {
            let [stream, planes] =
                [Order::Stream, Order::Planes].map(|order| Layout { order, bits });
            for at in 0..100 {
                assert_eq!(stream.pieces(at)[0], planes.pieces(at)[0]);
            }
        }
    }

    #[test]
    fn planes_lie_one_after_the_other() {
        let codes = Layout { order: Order::Planes, bits: 7 };
        let pieces = codes.pieces(32 + 17);
        assert_eq!(pieces[0], Piece { word: 7 + 2, right: 4, mask: 15, left: 0 });
        assert_eq!(pieces[1], Piece { word: 7 + 4 + 1, right: 2, mask: 3, left: 4 });
        assert_eq!(pieces[2], Piece { word: 7 + 6, right: 17, mask: 1, left: 6 });
        assert_eq!(codes.words(&(33..34)), 7..14);
    }
}
