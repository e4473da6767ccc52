//! A short random projection, to estimate the cosine of two long vectors that are never in memory together.

const LANES: usize = 128;

/// A CountSketch of a vector: value `i` is added to lane `i mod 128` with a pseudo-random sign.
///
/// The cosine of two sketches estimates the cosine of the vectors with a standard deviation of about
/// `(1 - cos^2)/sqrt(128)`: 0.09 for independent vectors, 0.01 at 0.95. Charikar, Chen & Farach-Colton,
/// "Finding frequent items in data streams" (2002).
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    lanes: [f64; LANES],
}

impl Default for Sketch {
    fn default() -> Self {
        Self { lanes: [0.0; LANES] }
    }
}

impl Sketch {
    /// Adds consecutive values of the vector, the first of which has index `first`, a multiple of 64.
    /// Values must be finite.
    pub fn push<T: Copy + Into<f64>>(&mut self, first: u64, values: &[T]) {
        for (block, values) in (first / 64..).zip(values.chunks(64)) {
            let signs = splitmix(block);
            let lanes = self.lanes.iter_mut().skip(if block % 2 == 0 { 0 } else { 64 });
            for ((bit, lane), value) in (0..).zip(lanes).zip(values) {
                let value: f64 = (*value).into();
                *lane += if signs >> bit & 1 == 1 { -value } else { value };
            }
        }
    }

    /// The sketch scaled to a largest magnitude of 127 and rounded, two hexadecimal digits a lane
    /// (two's complement). Empty for a zero vector. Rounding moves a cosine by less than 0.01.
    pub fn to_hex(&self) -> String {
        use std::fmt::Write as _;
        let largest = self.lanes.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let mut text = String::new();
        if largest > 0.0 && largest.is_finite() {
            for lane in self.lanes {
                // Writing to a String cannot fail.
                let _ = write!(text, "{:02x}", (lane / largest * 127.0).round() as i8);
            }
        }
        text
    }

    /// Reads what [`Sketch::to_hex`] wrote; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 2 * LANES || !text.is_ascii() {
            return None;
        }
        let mut lanes = [0.0; LANES];
        for (lane, digits) in lanes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            let digits = std::str::from_utf8(digits).ok()?;
            *lane = f64::from(u8::from_str_radix(digits, 16).ok()?.cast_signed());
        }
        Some(Self { lanes })
    }

    /// Estimated cosine of the two sketched vectors; `None` when either is zero.
    pub fn cosine(&self, other: &Self) -> Option<f64> {
        let dot =
            |a: &Self, b: &Self| a.lanes.iter().zip(&b.lanes).map(|(a, b)| a * b).sum::<f64>();
        let scale = (dot(self, self) * dot(other, other)).sqrt();
        (scale > 0.0).then(|| dot(self, other) / scale)
    }
}

/// SplitMix64's output function (Steele, Lea & Flood 2014) of a counter.
fn splitmix(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, n: u64) -> Vec<f64> {
        (0..n).map(|i| splitmix(i ^ (seed << 40)) as f64 / u64::MAX as f64 - 0.5).collect()
    }

    fn sketch(values: &[f64]) -> Sketch {
        let mut s = Sketch::default();
        s.push(0, values);
        Sketch::from_hex(&s.to_hex()).unwrap()
    }

    #[test]
    fn cosine_is_near_the_truth() {
        let (a, b) = (noise(1, 10_000), noise(2, 10_000));
        assert!(sketch(&a).cosine(&sketch(&b)).unwrap().abs() < 0.4);
        let near: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + 0.1 * b).collect(); // cosine 0.995
        assert!((sketch(&a).cosine(&sketch(&near)).unwrap() - 0.995).abs() < 0.01);
        assert_eq!(Sketch::default().to_hex(), "");
    }
}
