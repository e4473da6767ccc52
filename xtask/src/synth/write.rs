//! Streams blocks of rows into files, several threads at a time.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result};
use weightscope::DType;
use weightscope_testkit::Random;
use weightscope_testkit::checkpoint::encode;

use super::layout::File;
use super::normal::Normal;
use super::plant::Planted;
use super::preset::{Law, Tensor};

/// Values of a block, unless one row has more. Part of what a seed means: blocks have generators of their own.
const BLOCK_VALUES: u64 = 1 << 20;

/// Everything that decides the bytes of a checkpoint, but for its files.
pub(super) struct Recipe<'a> {
    pub(super) tensors: &'a [Tensor],
    pub(super) dtypes: &'a [DType],
    pub(super) planted: &'a [Option<Planted>],
    pub(super) normal: &'a Normal,
    pub(super) seed: u64,
}

/// Rows of one tensor.
struct Block {
    file: usize,
    tensor: usize,
    rows: Range<u64>,
    /// Place of its first byte in the file.
    place: u64,
}

/// Writes all files into `folder`. Threads change the time that takes, never a byte.
pub(super) fn write(
    folder: &Path,
    files: &[File],
    recipe: &Recipe<'_>,
    threads: usize,
) -> Result<()> {
    for file in files {
        let path = folder.join(&file.name);
        let create = || {
            let mut created = std::fs::File::create_new(&path)?;
            created.set_len(file.bytes)?;
            created.write_all(&file.header)
        };
        create().with_context(|| path.display().to_string())?;
    }
    // In file order, so that disks see few seeks.
    let blocks = Mutex::new(blocks(files, recipe));
    let worker = || -> Result<()> {
        let mut open: Option<(usize, std::fs::File)> = None;
        let mut bytes = Vec::new();
        loop {
            let next = blocks.lock().ok().and_then(|mut blocks| blocks.next());
            let Some(block) = next else { return Ok(()) };
            recipe.fill(&block, &mut bytes);
            let path = folder.join(&files[block.file].name);
            let mut write = || {
                let opened = match open.take() {
                    Some((file, opened)) if file == block.file => opened,
                    _ => OpenOptions::new().write(true).open(&path)?,
                };
                let (_, file) = open.insert((block.file, opened));
                file.seek(SeekFrom::Start(block.place))?;
                file.write_all(&bytes)
            };
            write().with_context(|| path.display().to_string())?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn blocks(files: &[File], recipe: &Recipe<'_>) -> impl Iterator<Item = Block> + Send {
    let mut blocks = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for &(tensor, begin) in &file.tensors {
            let [rows, columns] = recipe.tensors[tensor].size();
            let row_bytes = columns * recipe.dtypes[tensor].bytes() as u64;
            let step = (BLOCK_VALUES / columns.max(1)).max(1);
            for first in (0..rows).step_by(step as usize) {
                let rows = first..rows.min(first + step);
                let place = begin + first * row_bytes;
                blocks.push(Block { file: number, tensor, rows, place });
            }
        }
    }
    blocks.into_iter()
}

impl Recipe<'_> {
    /// The bytes of a block.
    fn fill(&self, block: &Block, bytes: &mut Vec<u8>) {
        let (tensor, dtype) = (&self.tensors[block.tensor], self.dtypes[block.tensor]);
        let [_, columns] = tensor.size();
        let values = ((block.rows.end - block.rows.start) * columns) as usize;
        let mut random = stream(self.seed, block.tensor as u64, block.rows.start);
        if let Some(planted) = &self.planted[block.tensor] {
            let rows = block.rows.clone();
            *bytes = encode(dtype, &planted.rows(rows, columns, self.normal, &mut random));
            return;
        }
        bytes.resize(values * dtype.bytes(), 0);
        match tensor.law {
            Law::Normal => self.normal.fill(&mut random, bytes),
            Law::Ones => bytes.copy_from_slice(&encode(dtype, &vec![1.0; values])),
            Law::Zeros => bytes.fill(0),
        }
    }
}

/// A generator of its own for every block, and for every planted defect with `u64::MAX` as its row.
pub(super) fn stream(seed: u64, tensor: u64, row: u64) -> Random {
    [tensor, row].iter().fold(Random::new(seed), |mut random, key| {
        Random::new(random.next_u64() ^ key.wrapping_mul(0xd6e8_feb8_6659_fd93))
    })
}
