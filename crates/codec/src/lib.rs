//! Number formats of model weights, in both directions.
//!
//! A checkpoint stores its weights as little-endian elements of some [`DType`]. This crate says what
//! each format is (width, special values, unit roundoff), turns stored bytes into `f32` or `f64`,
//! at any alignment and any length, and back. A [`BlockFormat`] is one that is read in blocks: those of GGUF, and
//! floats below one byte; [`codes`] reads packings whose scales lie elsewhere. A [`Scheme`] is how weights are
//! quantized: it measures what that changes, and makes codes and scales. The crate does no I/O and knows nothing of
//! tensors.
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
//!
//! ```
//! use weightscope_codec::Scheme;
//!
//! let scheme = Scheme::named("int4_g32").ok_or("no such scheme")?;
//! let quantized = scheme.encode(&[0.7, -0.33, 0.1, 0.0], [1, 4])?;
//! assert_eq!(quantized.codes(), [7, 0xfd, 1, 0]); // -3 in two's complement
//! assert_eq!(quantized.decode(), [0.7, -0.3, 0.1, 0.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod block_format;
pub mod codes;
mod decode;
mod dtype;
mod encode;
mod real;
mod scheme;

pub use block_format::{BLOCK_FORMATS, BlockFormat};
pub use decode::{DecodeError, decode_f32, decode_f64, pattern_values};
pub use dtype::{DType, UnknownDType};
pub use encode::{EncodeError, encode_f32};
pub use scheme::{
    Block, CELL, Encoded, Errors, Extent, GgufError, Grain, GrainScale, LANES, Lanes, Normal,
    Rounding, SCHEMES, SPAN, Scheme, ShapeError, gguf_encode,
};
