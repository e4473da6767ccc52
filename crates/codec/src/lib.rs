//! Number formats of model weights.
//!
//! A checkpoint stores its weights as little-endian elements of some [`DType`]. This crate says what
//! each format is (width, special values, unit roundoff) and turns stored bytes into `f32` or `f64`,
//! at any alignment and any length. It does no I/O and knows nothing of tensors.
//!
//! ```
//! use weightscope_codec::{DType, decode_f32};
//!
//! // 1.0 and -0.5 in bfloat16, little endian.
//! let bytes = [0x80, 0x3f, 0x00, 0xbf];
//! let mut values = [0.0; 2];
//! decode_f32(DType::BF16, &bytes, &mut values)?;
//! assert_eq!(values, [1.0, -0.5]);
//! # Ok::<(), weightscope_codec::DecodeError>(())
//! ```
#![forbid(unsafe_code)]

mod decode;
mod dtype;

pub use decode::{DecodeError, decode_f32, decode_f64, pattern_values};
pub use dtype::{DType, UnknownDType};
