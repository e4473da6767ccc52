//! Decoders against the standard library's own conversions, at any length and alignment.

use proptest::prelude::*;
use weightscope_codec::{DType, decode_f32, decode_f64};

/// Decodes `bytes` shifted by `offset`, so that alignment varies, and returns both widths.
fn decode(dtype: DType, bytes: &[u8], offset: usize) -> (Vec<f32>, Vec<f64>) {
    let mut shifted = vec![0xaa; offset];
    shifted.extend_from_slice(bytes);
    let n = bytes.len() / dtype.bytes();
    let (mut narrow, mut wide) = (vec![0.0; n], vec![0.0; n]);
    decode_f32(dtype, &shifted[offset..], &mut narrow).unwrap();
    decode_f64(dtype, &shifted[offset..], &mut wide).unwrap();
    (narrow, wide)
}

macro_rules! exact {
    ($name:ident, $dtype:expr, $int:ty, $value:expr) => {
        proptest! {
            #[test]
            fn $name(bits in prop::collection::vec(any::<$int>(), 0..200), offset in 0usize..8) {
                let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
                let (narrow, wide) = decode($dtype, &bytes, offset);
                for ((bits, narrow), wide) in bits.into_iter().zip(narrow).zip(wide) {
                    let want: f64 = $value(bits);
                    prop_assert!(want.to_bits() == wide.to_bits() || (want.is_nan() && wide.is_nan()));
                    let want = want as f32;
                    prop_assert!(want.to_bits() == narrow.to_bits() || (want.is_nan() && narrow.is_nan()));
                }
            }
        }
    };
}

exact!(f64s, DType::F64, u64, f64::from_bits);
exact!(f32s, DType::F32, u32, |b| f64::from(f32::from_bits(b)));
exact!(f16s, DType::F16, u16, |b| half::f16::from_bits(b).to_f64());
exact!(bf16s, DType::BF16, u16, |b| half::bf16::from_bits(b).to_f64());
exact!(i32s, DType::I32, i32, f64::from);
exact!(i16s, DType::I16, i16, f64::from);
exact!(i8s, DType::I8, i8, f64::from);
exact!(u32s, DType::U32, u32, f64::from);
exact!(u16s, DType::U16, u16, f64::from);
exact!(u8s, DType::U8, u8, f64::from);

proptest! {
    #[test]
    fn wide_integers_round_to_nearest(values in prop::collection::vec(any::<i64>(), 0..100)) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let (narrow, wide) = decode(DType::I64, &bytes, 3);
        for ((value, narrow), wide) in values.iter().zip(narrow).zip(wide) {
            prop_assert_eq!(*value as f64, wide);
            prop_assert_eq!(*value as f32, narrow);
        }
    }
}
