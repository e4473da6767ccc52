//! Opening a checkpoint and reading from it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weightscope_core::{
    EntryId, ErrorScope, FileRecord, Metadata, SourceError, TensorEntry, TensorSource, Value,
};

use crate::folder::{self, Index, Plan, SideFile};
use crate::header::{self, Header, MAX_TENSORS};
use crate::log::ErrorLog;
use crate::map::Map;
use crate::quoted::{escaped, quoted};
use crate::regular::{self, FileState};
use crate::{FileError, LoadError, foreign, json, shards};

const CONFIG: &str = "config.json";

/// So many files stay open; further ones are opened for each read. Some systems allow a process 256.
const KEPT_OPEN: usize = 128;

/// An opened checkpoint: checked headers, and files to copy bytes from.
///
/// Entries stand in the order of the files' names and, within a file, of its header. Threads share it; a
/// read is one positional system call (or one copy out of a map) and takes no lock.
#[derive(Debug)]
pub struct Checkpoint {
    entries: Vec<TensorEntry>,
    /// First byte of each entry in its file.
    starts: Vec<u64>,
    shards: Vec<Shard>,
    metadata: Metadata,
}

/// Opens one safetensors file, the folder of a model, or the shards of one model, for positional reading.
///
/// * One file: any name; config.json is looked for beside it.
/// * A folder: `model.safetensors`, else the shards that `model.safetensors.index.json` lists, else every
///   `*.safetensors` in it. Symbolic links are followed to regular files.
/// * Several files: the shards of one checkpoint, in the order of their names; the index is not consulted.
///
/// A broken part among usable ones is an entry of [`Metadata::errors`] with one of these codes, beside
/// those of [`FileError::code`]: `missing-shard`, `unlisted-shard`, `duplicate-shard`, `unsafe-path`,
/// `missing-tensor`, `unlisted-tensor`, `duplicate-name`, `invalid-metadata`, `broken-index`, `unused-index`,
/// `broken-config`, `duplicate-key`.
///
/// A tensor of an unknown element type is offered with `dtype: None`. Costs one read of every header and
/// side file, and memory in proportion to them: about five times the header while it is checked.
///
/// # Errors
/// [`LoadError`] when nothing can be used.
pub fn open(paths: &[PathBuf]) -> Result<Checkpoint, LoadError> {
    open_with(paths, Access::Positional)
}

/// The same checkpoint as [`open`] gives, read through memory maps.
///
/// A file that becomes shorter while it is mapped ends the process with SIGBUS. Every read asks for the
/// file's size before, which leaves a short moment; that is why positional reading is the default. Use
/// this for files that nobody writes.
///
/// # Errors
/// [`LoadError`] when nothing can be used.
pub fn open_mapped(paths: &[PathBuf]) -> Result<Checkpoint, LoadError> {
    open_with(paths, Access::Mapped)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Positional,
    Mapped,
}

fn open_with(paths: &[PathBuf], access: Access) -> Result<Checkpoint, LoadError> {
    let first = paths.first().ok_or(LoadError::NoInput)?;
    let mut log = ErrorLog::default();
    let (mut plan, folder) = match paths {
        [path] => {
            let metadata = std::fs::metadata(path).map_err(|cause| match cause.kind() {
                io::ErrorKind::NotFound => LoadError::NotFound { path: path.clone() },
                _ => LoadError::Unreadable { path: path.clone(), cause },
            })?;
            if metadata.is_dir() {
                (folder::plan(path, &mut log)?, path.clone())
            } else {
                (listed(paths, &mut log), parent(path))
            }
        }
        _ => (listed(paths, &mut log), parent(first)),
    };
    let (shards, headers) = open_shards(&plan.files, access, &mut log, first)?;
    let config = read_config(&folder, &mut plan.side_files, &mut log);

    let mut checkpoint = Checkpoint {
        entries: Vec::new(),
        starts: Vec::new(),
        shards,
        metadata: Metadata {
            path: typed(paths),
            format: "safetensors".to_owned(),
            config,
            ..Metadata::default()
        },
    };
    checkpoint.metadata.files = checkpoint.shards.iter().map(Shard::record).collect();
    checkpoint.metadata.fingerprint = fingerprint(&checkpoint.shards, &headers, &plan.side_files);
    checkpoint.collect(headers, &mut log);
    if let Some(index) = &plan.index {
        checkpoint.compare_with(index, &mut log);
    }
    checkpoint.metadata.errors = log.finish();
    Ok(checkpoint)
}

/// The paths of a command line as a plan: by name, each once.
fn listed(paths: &[PathBuf], log: &mut ErrorLog) -> Plan {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for path in paths {
        // Another spelling of the same file, or a link to it, is the same shard.
        if seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())) {
            files.push(path.clone());
        } else {
            log.add(ErrorScope::Shard, &file_name(path), "duplicate-shard", || {
                "was given before; it is read once".to_owned()
            });
        }
    }
    files.sort_by_cached_key(|path| (file_name(path), path.clone()));
    if files.len() > 1 {
        let names: Vec<String> = files.iter().map(|path| file_name(path)).collect();
        shards::report_missing(&names.iter().map(String::as_str).collect::<Vec<_>>(), log);
    }
    Plan { files, index: None, side_files: Vec::new() }
}

fn typed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The parsed config.json; an absent one is no fault.
fn read_config(folder: &Path, side_files: &mut Vec<SideFile>, log: &mut ErrorLog) -> Option<Value> {
    let read = || -> Result<_, String> {
        let (bytes, state) = match regular::read_side_file(&folder.join(CONFIG)) {
            Err(FileError::Missing) => return Ok(None),
            other => other.map_err(|e| e.to_string())?,
        };
        let document = json::parse(&bytes)?;
        if !matches!(document.value, Value::Map(_)) {
            return Err("is not a JSON object".to_owned());
        }
        Ok(Some((document, SideFile::new(CONFIG, state, &bytes))))
    };
    match read() {
        Ok(None) => None,
        Ok(Some((document, side_file))) => {
            if !document.repeated.is_empty() {
                // The keys are not shown: a link may lead to a file that is no configuration.
                log.add(ErrorScope::SideFile, CONFIG, "duplicate-key", || {
                    format!(
                        "{} keys are repeated; the first of each is used",
                        document.repeated.len()
                    )
                });
            }
            side_files.push(side_file);
            Some(document.value)
        }
        Err(reason) => {
            log.add(ErrorScope::SideFile, CONFIG, "broken-config", || reason);
            None
        }
    }
}

/// Opens every file and reads its header; those that are rejected go to the log.
fn open_shards(
    files: &[PathBuf],
    access: Access,
    log: &mut ErrorLog,
    first: &Path,
) -> Result<(Vec<Shard>, Vec<Header>), LoadError> {
    let (mut opened, mut headers) = (Vec::new(), Vec::new());
    let mut tensors = 0u64;
    for path in files {
        let keep = opened.len() < KEPT_OPEN;
        let fault = match Shard::open(path, access, keep) {
            Ok((shard, header)) => {
                let count = tensors.saturating_add(header.tensors.len() as u64);
                if count <= MAX_TENSORS {
                    tensors = count;
                    opened.push(shard);
                    headers.push(header);
                    continue;
                }
                FileError::TooManyTensors { count }
            }
            Err(fault) => fault,
        };
        if files.len() == 1 && log.is_empty() {
            return Err(LoadError::File { path: path.clone(), cause: fault.into() });
        }
        log.add(ErrorScope::Shard, &file_name(path), fault.code(), || fault.to_string());
    }
    if opened.is_empty() {
        let errors = std::mem::take(log).finish();
        return Err(LoadError::NothingUsable { path: first.to_owned(), errors });
    }
    Ok((opened, headers))
}

/// One line per file: header hash (or content hash of a side file), size, modification time, name.
fn fingerprint(shards: &[Shard], headers: &[Header], side_files: &[SideFile]) -> String {
    let mut text = String::new();
    let mut line = |hash: u128, state: &FileState, name: &str| {
        let (bytes, modified) = (state.bytes, state.modified_nanos());
        // Writing to a string does not fail.
        let _ = writeln!(text, "{hash:032x} {bytes} {modified} {}", escaped(name));
    };
    for (shard, header) in shards.iter().zip(headers) {
        line(header.hash, &shard.state, &shard.name);
    }
    for file in side_files {
        line(file.hash, &file.state, file.name);
    }
    text
}

impl Checkpoint {
    /// Takes over the tensors of all headers, the first of each name.
    fn collect(&mut self, headers: Vec<Header>, log: &mut ErrorLog) {
        let mut holders: HashMap<String, usize> = HashMap::new();
        for (file, (header, shard)) in headers.into_iter().zip(&self.shards).enumerate() {
            if header.odd_metadata {
                log.add(ErrorScope::Shard, &shard.name, "invalid-metadata", || {
                    "\"__metadata__\" is not a map from text to text".to_owned()
                });
            }
            for name in &header.repeated {
                log.add(ErrorScope::Tensor, name, "duplicate-name", || {
                    format!(
                        "tensor {}: twice in the header of {}; the later entry is not used",
                        quoted(name),
                        quoted(&shard.name)
                    )
                });
            }
            for stored in header.tensors {
                let name = &stored.entry.name;
                if let Some(holder) = holders.get(name).and_then(|at| self.shards.get(*at)) {
                    log.add(ErrorScope::Tensor, name, "duplicate-name", || {
                        format!(
                            "tensor {}: in {} and again in {}; the later one is not used",
                            quoted(name),
                            quoted(&holder.name),
                            quoted(&shard.name)
                        )
                    });
                    continue;
                }
                holders.insert(name.clone(), file);
                self.entries.push(TensorEntry { file, ..stored.entry });
                self.starts.push(stored.start);
            }
        }
    }

    /// Reports where the files and the index disagree.
    fn compare_with(&self, index: &Index, log: &mut ErrorLog) {
        let mut found: HashMap<&str, &str> = HashMap::with_capacity(self.entries.len());
        for entry in &self.entries {
            let shard = self.shards.get(entry.file).map_or("", |shard| &shard.name);
            found.insert(&entry.name, shard);
            let fault = match index.shard_of(&entry.name) {
                Some(listed) if listed == shard => continue,
                Some(listed) => format!("the index places it in {}", quoted(listed)),
                None => "the index does not list it".to_owned(),
            };
            log.add(ErrorScope::Tensor, &entry.name, "unlisted-tensor", || {
                format!("tensor {}: is in {}, {fault}", quoted(&entry.name), quoted(shard))
            });
        }
        // A shard that is missing or rejected has its own record; its tensors are not told one by one.
        let read: BTreeSet<&str> = self.shards.iter().map(|shard| shard.name.as_str()).collect();
        for (tensor, shard) in &index.weight_map {
            let Some(shard) = shard.as_str().filter(|shard| read.contains(shard)) else { continue };
            if !found.contains_key(tensor.as_ref()) {
                log.add(ErrorScope::Tensor, tensor, "missing-tensor", || {
                    format!(
                        "tensor {}: is not in {} as the index says",
                        quoted(tensor),
                        quoted(shard)
                    )
                });
            }
        }
    }
}

impl TensorSource for Checkpoint {
    fn entries(&self) -> &[TensorEntry] {
        &self.entries
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn read_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        let at = usize::try_from(entry.0).unwrap_or(usize::MAX);
        let (stored, begin) = (self.entries.get(at), self.starts.get(at));
        let outside = || SourceError::OutOfRange {
            tensor: stored.map_or_else(|| format!("#{}", entry.0), |e| e.name.clone()),
            start: range.start,
            end: range.end,
            size: stored.map_or(0, |e| e.bytes),
        };
        let (Some(stored), Some(begin)) = (stored, begin) else { return Err(outside()) };
        let shard = self.shards.get(stored.file).ok_or_else(outside)?;
        let length = range.end.checked_sub(range.start);
        if range.end > stored.bytes || length != Some(into.len() as u64) {
            return Err(outside());
        }
        let offset = begin.saturating_add(range.start);
        let copied = shard.copy(offset, into).map_err(|cause| SourceError::Read {
            tensor: stored.name.clone(),
            file: shard.name.clone(),
            cause: Arc::new(cause),
        })?;
        if copied < into.len() {
            return Err(SourceError::Truncated {
                tensor: stored.name.clone(),
                file: shard.name.clone(),
                end: offset.saturating_add(copied as u64),
                needs: begin.saturating_add(range.end),
            });
        }
        Ok(())
    }

    /// Also names a file that was deleted or replaced by another of its name.
    fn changed_files(&self) -> Vec<String> {
        let now = |shard: &Shard| std::fs::metadata(&shard.path).map(|m| FileState::of(&m)).ok();
        let changed = self.shards.iter().filter(|shard| now(shard) != Some(shard.state));
        changed.map(|shard| shard.name.clone()).collect()
    }
}

/// One opened file.
#[derive(Debug)]
struct Shard {
    name: String,
    path: PathBuf,
    /// When it was opened.
    state: FileState,
    /// `None` beyond [`KEPT_OPEN`] files.
    file: Option<File>,
    map: Option<Map>,
}

impl Shard {
    /// Opens a file and checks its header.
    fn open(path: &Path, access: Access, keep: bool) -> Result<(Self, Header), FileError> {
        let (file, state) = regular::open(path)?;
        let header = header::read(&file, state.bytes).map_err(|fault| {
            // A name may know what the bytes do not tell.
            match (&fault, foreign::by_extension(path)) {
                (
                    FileError::HeaderTooLarge { .. }
                    | FileError::HeaderTruncated { .. }
                    | FileError::InvalidHeader { .. },
                    Some(format),
                ) => FileError::UnsupportedFormat { format },
                _ => fault,
            }
        })?;
        let map = match access {
            Access::Positional => None,
            Access::Mapped => Some(Map::new(&file, state.bytes)?),
        };
        let shard = Self {
            name: file_name(path),
            path: path.to_owned(),
            state,
            file: keep.then_some(file),
            map,
        };
        Ok((shard, header))
    }

    fn record(&self) -> FileRecord {
        FileRecord { name: self.name.clone(), bytes: self.state.bytes }
    }

    /// Copies from `offset` on; fewer bytes come back only where the file ends.
    fn copy(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let reopened;
        let file = if let Some(file) = &self.file {
            file
        } else {
            let (file, state) = regular::open(&self.path).map_err(io::Error::other)?;
            if state != self.state {
                return Err(io::Error::other("the file has changed since it was opened"));
            }
            reopened = file;
            &reopened
        };
        let Some(map) = &self.map else { return regular::read_at(file, offset, into) };
        let left = file.metadata()?.len().min(self.state.bytes).saturating_sub(offset);
        if left < into.len() as u64 {
            return usize::try_from(left).map_err(io::Error::other);
        }
        map.copy(offset, into).ok_or_else(|| io::Error::other("outside of the map"))?;
        Ok(into.len())
    }
}
