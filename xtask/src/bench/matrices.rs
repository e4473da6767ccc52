//! The matrices that all methods get: a file of BF16 values, one matrix after the other.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use weightscope::{DType, MemorySource, Metadata};

/// Rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Size {
    pub(super) fn values(self) -> usize {
        self.rows * self.columns
    }

    /// min(rows, columns).
    pub(super) fn short(self) -> usize {
        self.rows.min(self.columns)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=1 << 20).contains(side));
        let sides = text.split_once('x').and_then(|(r, c)| side(r).zip(side(c)));
        let (rows, columns) =
            sides.ok_or_else(|| format!("\"{text}\" is no size such as 512x256"))?;
        Ok(Self { rows, columns })
    }
}

/// The 48 matrices of GPT-2 small's blocks, `[out, in]`.
pub(super) fn gpt2() -> Vec<Size> {
    let block = [(2304, 768), (768, 768), (3072, 768), (768, 3072)];
    let sizes = block.map(|(rows, columns)| Size { rows, columns });
    (0..12).flat_map(|_| sizes).collect()
}

/// BF16 values of N(0, 0.02^2), always the same.
fn values(sizes: &[Size]) -> Result<Vec<u8>> {
    crate::synth::normal_values(DType::BF16, sizes.iter().map(|size| size.values()).sum())
}

/// Writes a file of random matrices.
pub(super) fn write(path: &Path, sizes: &[Size]) -> Result<()> {
    fs::write(path, values(sizes)?).with_context(|| path.display().to_string())
}

/// Random matrices as a checkpoint in memory.
pub(super) fn random(sizes: &[Size]) -> Result<MemorySource> {
    source(&mut values(sizes)?.as_slice(), sizes)
}

/// The same from a file.
pub(super) fn read(path: &Path, sizes: &[Size]) -> Result<MemorySource> {
    let open = || source(&mut fs::File::open(path)?, sizes);
    open().with_context(|| path.display().to_string())
}

fn source(from: &mut dyn Read, sizes: &[Size]) -> Result<MemorySource> {
    let mut source = MemorySource::new(Metadata::default());
    for (number, size) in sizes.iter().enumerate() {
        let mut bytes = vec![0; 2 * size.values()];
        from.read_exact(&mut bytes)?;
        let shape = [size.rows as u64, size.columns as u64];
        source.push(&format!("layers.{number}.weight"), DType::BF16, &shape, bytes)?;
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rows_by_columns() {
        assert_eq!("30x20".parse(), Ok(Size { rows: 30, columns: 20 }));
        for wrong in ["", "30", "x", "0x3", "3x-3", "3x3x3", "99999999x2"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        // 12 times 768^2 times 3 + 1 + 4 + 4.
        assert_eq!(gpt2().iter().map(|size| size.values()).sum::<usize>(), 84_934_656);
    }
}
