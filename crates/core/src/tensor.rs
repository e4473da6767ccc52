//! A borrowed view of stored elements.

use weightscope_codec::{DecodeError, decode_f32, decode_f64};

use crate::DType;

/// Elements of one type in row-major, little-endian order, borrowed from wherever they are.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    dtype: DType,
    shape: &'a [u64],
    bytes: &'a [u8],
}

/// A shape and a byte count that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shape {shape:?} of {dtype} needs {} bytes, there are {have}", .want.map_or("more than 2^64".to_owned(), |w| w.to_string()))]
pub struct TensorSizeError {
    /// Dimensions.
    pub shape: Vec<u64>,
    /// Element type.
    pub dtype: DType,
    /// Bytes the shape needs; `None` when that overflows.
    pub want: Option<u64>,
    /// Bytes given.
    pub have: u64,
}

impl<'a> Tensor<'a> {
    /// Checks that `bytes` is exactly what `shape` needs.
    ///
    /// # Errors
    /// [`TensorSizeError`] otherwise, also when the product of the shape overflows.
    pub fn new(dtype: DType, shape: &'a [u64], bytes: &'a [u8]) -> Result<Self, TensorSizeError> {
        let have = bytes.len() as u64;
        let want = element_count(shape).and_then(|n| n.checked_mul(dtype.bytes() as u64));
        if want != Some(have) {
            return Err(TensorSizeError { shape: shape.to_vec(), dtype, want, have });
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// Element type.
    pub fn dtype(self) -> DType {
        self.dtype
    }

    /// Dimensions; empty for a scalar.
    pub fn shape(self) -> &'a [u64] {
        self.shape
    }

    /// Stored bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        self.bytes.len() / self.dtype.bytes()
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Decodes every element to `f32`; `out` has [`Tensor::len`] places.
    ///
    /// # Errors
    /// [`DecodeError`] when `out` has another length.
    pub fn decode_f32(self, out: &mut [f32]) -> Result<(), DecodeError> {
        decode_f32(self.dtype, self.bytes, out)
    }

    /// Decodes every element to `f64`; `out` has [`Tensor::len`] places.
    ///
    /// # Errors
    /// [`DecodeError`] when `out` has another length.
    pub fn decode_f64(self, out: &mut [f64]) -> Result<(), DecodeError> {
        decode_f64(self.dtype, self.bytes, out)
    }
}

/// The number of elements of a shape; 1 for a scalar, `None` when the product overflows.
pub fn element_count(shape: &[u64]) -> Option<u64> {
    // A zero anywhere makes the product zero, whatever the other factors.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1u64, |product, d| product.checked_mul(*d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        let bytes = [0u8; 24];
        let tensor = Tensor::new(DType::F32, &[2, 3], &bytes).unwrap();
        assert_eq!((tensor.len(), tensor.is_empty()), (6, false));
        let error = Tensor::new(DType::F32, &[2, 4], &bytes).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 4] of F32 needs 32 bytes, there are 24");
        let error = Tensor::new(DType::F32, &[u64::MAX, 2], &bytes).unwrap_err();
        assert!(error.to_string().contains("more than 2^64"));
        assert_eq!(element_count(&[u64::MAX, u64::MAX, 0]), Some(0));
    }
}
