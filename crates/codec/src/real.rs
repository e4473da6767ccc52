//! Arithmetic on as many `f32` as the machine's vectors hold, written as if they were one.

use std::ops::{Add, Div, Mul, Neg, Sub};

use pulp::Simd;

/// One vector of `f32`: a single number under [`pulp::Scalar`], sixteen under AVX-512.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Real<S: Simd>(pub(crate) S, pub(crate) S::f32s);

macro_rules! operator {
    ($trait:ident, $method:ident, $simd:ident) => {
        impl<S: Simd> $trait for Real<S> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(self.0, self.0.$simd(self.1, other.1))
            }
        }
    };
}

operator!(Add, add, add_f32s);
operator!(Sub, sub, sub_f32s);
operator!(Mul, mul, mul_f32s);
operator!(Div, div, div_f32s);

impl<S: Simd> Neg for Real<S> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(self.0, self.0.neg_f32s(self.1))
    }
}

impl<S: Simd> Real<S> {
    /// `value` everywhere.
    #[inline(always)]
    pub(crate) fn splat(simd: S, value: f32) -> Self {
        Self(simd, simd.splat_f32s(value))
    }

    /// `value` everywhere, in vectors like this one.
    #[inline(always)]
    pub(crate) fn of(self, value: f32) -> Self {
        Self::splat(self.0, value)
    }

    /// `self * factor + term`, rounded once.
    #[inline(always)]
    pub(crate) fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(self.0, self.0.mul_add_f32s(self.1, factor.1, term.1))
    }

    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        Self(self.0, self.0.abs_f32s(self.1))
    }

    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        Self(self.0, self.0.max_f32s(self.1, other.1))
    }

    #[inline(always)]
    pub(crate) fn min(self, other: Self) -> Self {
        Self(self.0, self.0.min_f32s(self.1, other.1))
    }

    /// `self` where `left > right`, `otherwise` elsewhere.
    #[inline(always)]
    pub(crate) fn where_above(self, left: Self, right: Self, otherwise: Self) -> Self {
        let mask = self.0.greater_than_f32s(left.1, right.1);
        Self(self.0, self.0.select_f32s(mask, self.1, otherwise.1))
    }

    /// `self` where `left == right`, `otherwise` elsewhere.
    #[inline(always)]
    pub(crate) fn where_equal(self, left: Self, right: Self, otherwise: Self) -> Self {
        let mask = self.0.equal_f32s(left.1, right.1);
        Self(self.0, self.0.select_f32s(mask, self.1, otherwise.1))
    }

    /// The largest power of two not above the magnitude; 0 below the smallest normal number.
    #[inline(always)]
    pub(crate) fn binade(self) -> Self {
        Self(self.0, self.0.and_f32s(self.1, self.0.splat_f32s(f32::INFINITY)))
    }

    /// The nearest integer, halves to the even one. Magnitudes up to 2^22.
    #[inline(always)]
    pub(crate) fn round_half_even(self) -> Self {
        // In this binade a float is an integer, so that adding rounds; the half more keeps negative sums in it.
        let integers = self.of(12_582_912.0); // 1.5 * 2^23
        (self + integers) - integers
    }

    /// The nearest integer, halves away from zero. Magnitudes up to 2^22.
    #[inline(always)]
    pub(crate) fn round_half_away(self) -> Self {
        let magnitude = self.abs();
        let even = magnitude.round_half_even();
        let rounded = (even + even.of(1.0)).where_equal(magnitude - even, even.of(0.5), even);
        rounded.copysign(self)
    }

    /// The largest integer not above, of magnitudes up to 2^22.
    #[inline(always)]
    pub(crate) fn floor(self) -> Self {
        let nearest = self.round_half_even();
        (nearest - nearest.of(1.0)).where_above(nearest, self, nearest)
    }

    /// The nearest number with `mantissa` stored mantissa bits and no exponent below that of `least`, a power
    /// of two: halves to even, subnormals as they should be, and no largest number. Returns also the distance
    /// between neighbours there. Magnitudes up to 2^(104 + mantissa).
    #[inline(always)]
    pub(crate) fn round_to(self, mantissa: u32, least: f32) -> (Self, Self) {
        let binade = self.binade().max(self.of(least));
        // As in `round_half_even`: 1.5 times the binade in which floats are `mantissa` bits finer than this one.
        let integers = binade * self.of(f32::from_bits((127 + 23 - mantissa) << 23 | 0x40_0000));
        let spacing = binade * self.of(f32::from_bits((127 - mantissa) << 23));
        ((self + integers) - integers, spacing)
    }

    /// Its magnitude with the sign of `other`.
    #[inline(always)]
    fn copysign(self, other: Self) -> Self {
        let sign = self.0.and_f32s(other.1, self.0.splat_f32s(-0.0));
        Self(self.0, self.0.or_f32s(self.abs().1, sign))
    }

    /// Of a number that was rounded to `self`, with `left` of the sign of what that left out: rounded towards
    /// zero, and the last bit set unless nothing was left out. What is then rounded to fewer bits is rounded as if
    /// it had been once (Boldo & Melquiond 2008).
    #[inline(always)]
    pub(crate) fn round_to_odd(self, left: Self) -> Self {
        let simd = self.0;
        let (bits, one, zero) =
            (simd.transmute_u32s_f32s(self.1), simd.splat_u32s(1), simd.splat_f32s(0.0));
        let is_above = simd.greater_than_f32s(zero, (self * left).1);
        let towards_zero = simd.select_u32s(is_above, simd.sub_u32s(bits, one), bits);
        let odd = simd.or_u32s(towards_zero, one);
        let is_exact = simd.equal_f32s(left.1, zero);
        Self(simd, simd.transmute_f32s_u32s(simd.select_u32s(is_exact, bits, odd)))
    }

    /// Rounded to IEEE binary16; infinite beyond its range, and zeros keep their sign.
    #[inline(always)]
    pub(crate) fn round_to_f16(self) -> Self {
        let (rounded, _) = self.round_to(10, 1.0 / 16_384.0);
        let infinity = self.of(f32::INFINITY);
        infinity.where_above(self.abs(), self.of(65_519.996), rounded).copysign(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    fn real(value: f32) -> Real<Scalar> {
        Real(Scalar::new(), value)
    }

    #[test]
    fn rounding() {
        for (x, even, away, floor) in [
            (0.5, 0.0, 1.0, 0.0),
            (1.5, 2.0, 2.0, 1.0),
            (-2.5, -2.0, -3.0, -3.0),
            (0.499_999_97, 0.0, 0.0, 0.0),
            (-0.25, 0.0, 0.0, -1.0),
            (126.6, 127.0, 127.0, 126.0),
            (-127.0, -127.0, -127.0, -127.0),
        ] {
            assert_eq!(real(x).round_half_even().1, even, "{x}");
            assert_eq!(real(x).round_half_away().1, away, "{x}");
            assert_eq!(real(x).floor().1, floor, "{x}");
        }
    }

    #[test]
    fn f16_rounds_as_the_half_crate() {
        for bits in (0..=u32::MAX).step_by(9973) {
            let value = f32::from_bits(bits);
            // Beyond 2^114 the sum overflows; the range of F16 ends at 2^16.
            if !value.is_finite() || value.abs() > 1e30 {
                continue;
            }
            let want = half::f16::from_f32(value).to_f32();
            assert_eq!(real(value).round_to_f16().1.to_bits(), want.to_bits(), "{value:e}");
        }
    }
}
