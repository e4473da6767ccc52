//! What can be wrong with an input.

use std::io;
use std::path::{Path, PathBuf};

use weightscope_core::ErrorRecord;

use crate::container::safetensors::MAX_HEADER_BYTES;
use crate::container::{MAX_DIMENSIONS, MAX_TENSORS};
use crate::foreign::conversion;
use crate::quoted::{escaped, quoted};
use crate::regular::MAX_SIDE_FILE_BYTES;

/// Why nothing of an input can be used.
///
/// The message begins with the path it is about; paths and names in it are escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No path was given.
    #[error("no path was given")]
    NoInput,
    /// The path leads nowhere.
    #[error("{}: there is no such file or folder", shown(.path))]
    NotFound {
        /// Path as given.
        path: PathBuf,
    },
    /// The folder cannot be listed.
    #[error("{}: cannot be read: {cause}", shown(.path))]
    Unreadable {
        /// Path as given.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        cause: io::Error,
    },
    /// The folder has no file with weights.
    #[error("{}: there is no model in this folder (.safetensors, .gguf, or .bin, .pt, .pth, .ckpt of PyTorch)", shown(.path))]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has several models of which one must be named.
    #[error(
        "{}: holds {} {format} models: {}; name one of them",
        shown(.path), files.len(), listed(.files)
    )]
    SeveralModels {
        /// The folder.
        path: PathBuf,
        /// Their format.
        format: &'static str,
        /// Their files and the bytes of each, of a split model of all its parts under the name of the first.
        files: Vec<(String, u64)>,
    },
    /// The folder holds a model of several parts where one is wanted.
    #[error(
        "{}: holds a model of {} parts ({}); name the folder of one",
        shown(.path), names.len(), named(.names)
    )]
    SeveralParts {
        /// The folder.
        path: PathBuf,
        /// Their folders below it; empty for the model's own files.
        names: Vec<String>,
    },
    /// Parts of one model that repeat the names of its tensors and have a piece of each.
    #[error(
        "{}: {} files are each a piece of every tensor of one model ({}): {advice}",
        shown(.path), files.len(), named(.files)
    )]
    Slices {
        /// The folder.
        path: PathBuf,
        /// Their files.
        files: Vec<String>,
        /// What to do.
        advice: &'static str,
    },
    /// The folder has weights, but only in another format.
    #[error(
        "{}: the weights in this folder ({}) are recognised as {format}, which is not read{}",
        shown(.path), quoted(.file), conversion(.format)
    )]
    UnsupportedFormat {
        /// The folder.
        path: PathBuf,
        /// The first such file.
        file: String,
        /// What it holds.
        format: &'static str,
    },
    /// The only file there is was rejected.
    #[error("{}: {cause}", shown(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Box<FileError>,
    },
    /// Several files were named, and not one of them can be used.
    #[error("{}: nothing usable: {}", shown(.path), first(.errors))]
    NothingUsable {
        /// First path as given.
        path: PathBuf,
        /// What is wrong with each.
        errors: Vec<ErrorRecord>,
    },
}

impl LoadError {
    /// Stable kebab-case code: `no-input`, `not-found`, `unreadable`, `no-weights`, `several-models`, `several-parts`, `slices`,
    /// `unsupported-format`, `nothing-usable`, or the [`FileError::code`] of the only file.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoInput => "no-input",
            Self::NotFound { .. } => "not-found",
            Self::Unreadable { .. } => "unreadable",
            Self::NoWeights { .. } => "no-weights",
            Self::SeveralModels { .. } => "several-models",
            Self::SeveralParts { .. } => "several-parts",
            Self::Slices { .. } => "slices",
            Self::UnsupportedFormat { .. } => "unsupported-format",
            Self::File { cause, .. } => cause.code(),
            Self::NothingUsable { .. } => "nothing-usable",
        }
    }

    /// The path that cannot be used; `None` when none was given.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::NoInput => None,
            Self::NotFound { path }
            | Self::Unreadable { path, .. }
            | Self::NoWeights { path }
            | Self::SeveralModels { path, .. }
            | Self::SeveralParts { path, .. }
            | Self::Slices { path, .. }
            | Self::UnsupportedFormat { path, .. }
            | Self::File { path, .. }
            | Self::NothingUsable { path, .. } => Some(path),
        }
    }
}

/// Where unpickling would not be harmless, what it would run.
fn would_call(calls: &[String]) -> String {
    match calls {
        [] => String::new(),
        calls => format!(
            "; do not load it with anything else: it would import {} before it comes that far",
            calls.join(", ")
        ),
    }
}

fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

fn named(files: &[String]) -> String {
    let mut names: Vec<String> = files.iter().take(NAMED).map(|name| quoted(name)).collect();
    if let Some(more) = files.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// So many models of a folder are named.
const NAMED: usize = 20;

/// `1.5 GB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = units.into_iter().find(|(unit, _)| bytes as f64 >= *unit);
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{:.1} {name}", bytes as f64 / unit),
    )
}

fn listed(files: &[(String, u64)]) -> String {
    let mut names: Vec<String> = files
        .iter()
        .take(NAMED)
        .map(|(name, bytes)| format!("{} ({})", quoted(name), size(*bytes)))
        .collect();
    if let Some(more) = files.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

fn first(errors: &[ErrorRecord]) -> String {
    errors.first().map_or_else(
        || "no file was left".to_owned(),
        |error| match errors.len() {
            1 => format!("{}: {}", quoted(&error.name), error.message),
            n => format!("{}: {} (first of {n} faults)", quoted(&error.name), error.message),
        },
    )
}

/// Why one file was rejected. The message does not name the file; names of tensors in it are escaped.
///
/// The rules are those of the descriptions of the formats. In all of them the tensors cover the data without overlaps
/// and without holes, but for the padding that GGUF's alignment asks for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file is not there, or a symbolic link leads nowhere.
    #[error("there is no such file")]
    Missing,
    /// The operating system refused.
    #[error("cannot be read: {cause}")]
    Unreadable {
        /// The operating system's word.
        #[source]
        cause: io::Error,
    },
    /// A folder, FIFO, socket or device.
    #[error("is {what}, not a regular file")]
    NotRegular {
        /// What it is, with its article.
        what: &'static str,
    },
    /// A side file beyond the limit.
    #[error("has {bytes} bytes, at most {MAX_SIDE_FILE_BYTES} are read")]
    SideFileTooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The text file that Git LFS leaves in place of the weights.
    #[error("is a Git LFS pointer, not the weights: run `git lfs pull` in its folder")]
    LfsPointer,
    /// A web page that was saved under the name of the weights.
    #[error(
        "is an HTML page, not weights: the download was answered with a web page, for example a login \
         page; download it again"
    )]
    HtmlPage,
    /// Weights in a format that this version does not read.
    #[error("is recognised as {format}, which is not read{}", conversion(.format))]
    UnsupportedFormat {
        /// Name of the format.
        format: &'static str,
    },
    /// A file whose name promises another format than its bytes have.
    #[error("is named like {format} and does not begin like it")]
    WrongMagic {
        /// Name of the format.
        format: &'static str,
    },
    /// A version of a format that is not read.
    #[error("is {format} of version {version}, which is not read")]
    UnsupportedVersion {
        /// Name of the format.
        format: &'static str,
        /// The version, in words.
        version: String,
    },
    /// The file ends before the header does.
    #[error("file has {bytes} bytes, header needs {needs}: an incomplete download?")]
    HeaderTruncated {
        /// Size of the file.
        bytes: u64,
        /// End of the header.
        needs: u64,
    },
    /// A zip archive without its directory, which stands at the end.
    #[error(
        "file begins like a zip archive, and its {bytes} bytes do not end like one: an incomplete download?"
    )]
    NoZipDirectory {
        /// Size of the file.
        bytes: u64,
    },
    /// A pickle that cannot be read to its end.
    #[error("its pickle cannot be read: {reason}{}", would_call(.calls))]
    BrokenPickle {
        /// What does not fit.
        reason: String,
        /// What a program that unpickles it would have called by then, and what could do harm.
        calls: Vec<String>,
    },
    /// A file of values without a model.
    #[error("holds {found}")]
    NoTensors {
        /// What it holds instead.
        found: String,
    },
    /// The file ends before the tensors do.
    #[error(
        "file has {bytes} bytes, its tensors need {needs}: an incomplete download? (tensor {} does not fit)",
        quoted(.tensor)
    )]
    DataTruncated {
        /// The first tensor that is not whole.
        tensor: String,
        /// Size of the file.
        bytes: u64,
        /// Size it should have.
        needs: u64,
    },
    /// The first eight bytes are no sensible header length.
    #[error(
        "its first 8 bytes announce a header of {bytes} bytes, at most {MAX_HEADER_BYTES} are allowed: \
         not a safetensors file?"
    )]
    HeaderTooLarge {
        /// Announced size.
        bytes: u64,
    },
    /// The header is not a JSON object.
    #[error("header is not valid: {reason}")]
    InvalidHeader {
        /// What the parser says.
        reason: String,
    },
    /// More tensors than the limit.
    #[error("{count} tensors, at most {MAX_TENSORS} are allowed")]
    TooManyTensors {
        /// Number of tensors.
        count: u64,
    },
    /// A tensor's entry is not `{dtype, shape, data_offsets}`.
    #[error("tensor {}: entry is not valid: {reason}", quoted(.tensor))]
    InvalidEntry {
        /// Tensor name.
        tensor: String,
        /// What the parser says.
        reason: String,
    },
    /// More dimensions than the limit.
    #[error("tensor {}: {count} dimensions, at most {MAX_DIMENSIONS} are allowed", quoted(.tensor))]
    TooManyDimensions {
        /// Tensor name.
        tensor: String,
        /// Number of dimensions.
        count: u64,
    },
    /// The product of the shape does not fit 64 bits.
    #[error("tensor {}: shape {shape:?} has more than 2^64 elements", quoted(.tensor))]
    ShapeOverflow {
        /// Tensor name.
        tensor: String,
        /// Dimensions.
        shape: Vec<u64>,
    },
    /// Shape and byte range disagree.
    #[error(
        "tensor {}: shape {shape:?} of {dtype} needs {needs} bytes, header gives {have}",
        quoted(.tensor)
    )]
    SizeMismatch {
        /// Tensor name.
        tensor: String,
        /// Dimensions.
        shape: Vec<u64>,
        /// Element type as the file spells it.
        dtype: String,
        /// Bytes the shape needs.
        needs: u128,
        /// Bytes the offsets give.
        have: u64,
    },
    /// A range that ends before it begins.
    #[error("tensor {}: ends at data byte {end}, before its begin at {begin}", quoted(.tensor))]
    ReversedOffsets {
        /// Tensor name.
        tensor: String,
        /// First data byte.
        begin: u64,
        /// End.
        end: u64,
    },
    /// A tensor that begins where none may.
    #[error(
        "tensor {}: begins at data byte {begin}, which is no multiple of the alignment of {alignment}",
        quoted(.tensor)
    )]
    Misaligned {
        /// Tensor name.
        tensor: String,
        /// Its first data byte.
        begin: u64,
        /// What that must be a multiple of.
        alignment: u64,
    },
    /// Two tensors share bytes.
    #[error(
        "tensor {}: begins at data byte {begin}, inside of tensor {}, which ends at {end}",
        quoted(.tensor), quoted(.before)
    )]
    Overlap {
        /// Tensor name.
        tensor: String,
        /// Its first data byte.
        begin: u64,
        /// The tensor before it.
        before: String,
        /// Where that ends.
        end: u64,
    },
    /// Bytes between two tensors belong to none.
    #[error(
        "tensor {}: begins at data byte {begin}, data before it end at {end}: the bytes between belong to \
         no tensor",
        quoted(.tensor)
    )]
    Hole {
        /// Tensor name.
        tensor: String,
        /// Its first data byte.
        begin: u64,
        /// End of the tensors before it.
        end: u64,
    },
    /// Bytes after the last tensor.
    #[error(
        "file has {bytes} bytes, its tensors end at {end}: the bytes after belong to no tensor"
    )]
    TrailingBytes {
        /// Size of the file.
        bytes: u64,
        /// End of the last tensor in the file.
        end: u64,
    },
}

impl FileError {
    /// Stable kebab-case code, as it appears in reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing-shard",
            Self::Unreadable { .. } => "unreadable",
            Self::NotRegular { .. } => "not-a-regular-file",
            Self::SideFileTooLarge { .. } => "side-file-too-large",
            Self::LfsPointer => "git-lfs-pointer",
            Self::HtmlPage => "html-page",
            Self::UnsupportedFormat { .. } => "unsupported-format",
            Self::WrongMagic { .. } => "wrong-magic",
            Self::UnsupportedVersion { .. } => "unsupported-version",
            Self::HeaderTruncated { .. }
            | Self::NoZipDirectory { .. }
            | Self::DataTruncated { .. } => "truncated",
            Self::BrokenPickle { .. } => "broken-pickle",
            Self::NoTensors { .. } => "no-tensors",
            Self::HeaderTooLarge { .. } => "header-too-large",
            Self::InvalidHeader { .. } => "invalid-header",
            Self::TooManyTensors { .. } => "too-many-tensors",
            Self::InvalidEntry { .. } => "invalid-entry",
            Self::TooManyDimensions { .. } => "too-many-dimensions",
            Self::ShapeOverflow { .. } => "shape-overflow",
            Self::SizeMismatch { .. } => "size-mismatch",
            Self::ReversedOffsets { .. } => "reversed-offsets",
            Self::Misaligned { .. } => "misaligned",
            Self::Overlap { .. } => "overlap",
            Self::Hole { .. } => "hole",
            Self::TrailingBytes { .. } => "trailing-bytes",
        }
    }
}

impl From<io::Error> for FileError {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable { cause },
        }
    }
}
