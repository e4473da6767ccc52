//! Reading checkpoints safely: one file of safetensors, GGUF or `torch.save`, the folder of a model, or a list of shards.
//!
//! [`open`] checks every header before a byte of a weight is touched, and hands out a [`Checkpoint`]: a
//! [`TensorSource`](weightscope_core::TensorSource) that copies bytes on demand. Every byte, name and
//! number of the input is taken as hostile: nothing is allocated, looped over or sought to before the
//! number was compared with the bytes that are there, only regular files are opened, and names from an
//! index never leave the folder.
//!
//! Two kinds of fault are kept apart. When nothing can be used, [`open`] fails with a [`LoadError`].
//! When a part is broken (one shard of several, a side file, a repeated name), the rest is offered and
//! the fault is an [`ErrorRecord`](weightscope_core::ErrorRecord) with a stable code in
//! [`Metadata::errors`](weightscope_core::Metadata::errors). A checkpoint is complete only when that list
//! is empty and every entry has a known element type.
//!
//! ```
//! use weightscope_core::{EntryId, TensorSource};
//!
//! // Two F32 numbers named "w": header length, header, data.
//! let header = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
//! let mut file = (header.len() as u64).to_le_bytes().to_vec();
//! file.extend_from_slice(header);
//! file.extend([1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()));
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! std::fs::write(&path, file)?;
//!
//! let checkpoint = weightscope_load::open(&[path])?;
//! assert!(checkpoint.metadata().errors.is_empty());
//! assert_eq!(checkpoint.entries()[0].shape, [2]);
//!
//! let mut second = [0; 4];
//! checkpoint.read_at(EntryId(0), 4..8, &mut second)?;
//! assert_eq!(f32::from_le_bytes(second), -2.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//! Header 100 MB, pickle 256 MB and 10 000 000 opcodes, 1 000 000 tensors, 64 dimensions, JSON nested 64 deep, side files 32 MB. Faults of one
//! code are listed 20 times and then counted.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::unwrap_used
    )
)]

mod blob;
mod checkpoint;
mod container;
mod error;
mod files;
mod folder;
mod foreign;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod log;
mod map;
mod packing;
mod parts;
mod place;
mod quoted;
mod regular;
mod row_order;
mod shards;
mod view;

pub use checkpoint::{Checkpoint, open, open_mapped};
pub use error::{FileError, LoadError};
pub use parts::{Part, parts};
pub use quoted::quoted;
