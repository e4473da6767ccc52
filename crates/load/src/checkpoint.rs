//! Opening a checkpoint and reading from it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use weightscope_core::{
    EntryId, ErrorScope, GlobalRecord, Key, Metadata, SourceError, TensorEntry, TensorSource, Value,
};

use crate::blob::Access;
use crate::container::{MAX_TENSORS, StoredFile, StoredTensor};
use crate::files::{Files, OpenFile, file_name, parent};
use crate::folder::{self, Index, Plan, SideFile};
use crate::log::ErrorLog;
use crate::packing::{self, Tensors};
use crate::place::{self, Place};
use crate::quoted::{escaped, quoted};
use crate::regular::{self, FileState};
use crate::{FileError, LoadError, json, shards};

const CONFIG: &str = "config.json";
/// What PEFT's and MLX's adapters have instead, and how their files are called.
const ADAPTER_CONFIG: &str = "adapter_config.json";
const ADAPTER_FILES: &str = "adapter";

/// What config.json calls the description of how weights are stored.
const QUANTIZATION: [&str; 3] = ["quantization_config", "compression_config", "quantization"];

/// Files that describe it where config.json does not: of GPTQ's tools, and of modelopt.
const QUANTIZATION_FILES: [&str; 3] =
    ["quantize_config.json", "quant_config.json", "hf_quant_config.json"];

/// So many files stay open; further ones are opened for each read, which costs microseconds beside the read itself.
/// Few, because a report and a journal must find room under the process's limit of open files.
const KEPT_OPEN: usize = 8;

/// An opened checkpoint: checked headers, and files to copy bytes from.
///
/// Entries stand in the order of the files' names and, within a file, of its header; what is stored in several tensors
/// stands where its codes do. Threads share it; a read is a few positional system calls (or copies out of a map) and
/// takes no lock.
#[derive(Debug)]
pub struct Checkpoint {
    entries: Vec<TensorEntry>,
    /// Where each entry's values come from.
    places: Vec<Place>,
    /// What the files hold, in the order of the files.
    stored: Vec<StoredTensor>,
    files: Files,
    metadata: Metadata,
}

/// Opens one file, the folder of a model, or the shards of one model, for positional reading. Formats are safetensors,
/// GGUF and PyTorch, told by content.
///
/// * One file: any name; config.json is looked for beside it, unless it describes itself. A part of a split GGUF
///   (`name-00001-of-00003.gguf`) stands for all its parts.
/// * A folder: `model.safetensors`, else the shards that `model.safetensors.index.json` lists, else every
///   `*.safetensors` in it; else the same of `pytorch_model.bin`; else its GGUF model, if it is one, or its only file of
///   `torch.save` that is no part of a training run's state. Symbolic links are followed to regular files.
/// * Several files: the shards of one checkpoint, in the order of their names; the index is not consulted.
///
/// A broken part among usable ones is an entry of [`Metadata::errors`] with one of these codes, beside
/// those of [`FileError::code`]: `missing-shard`, `unlisted-shard`, `duplicate-shard`, `unsafe-path`,
/// `missing-tensor`, `unlisted-tensor`, `duplicate-name`, `invalid-metadata`, `broken-index`, `unused-index`,
/// `broken-config`, `duplicate-key`, `trailing-bytes`, `split-mismatch`,
/// `broken-tensor`, `crc-mismatch`, `flagged-member`, `second-pickle`, `nested-archive`.
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

fn open_with(paths: &[PathBuf], access: Access) -> Result<Checkpoint, LoadError> {
    let first = paths.first().ok_or(LoadError::NoInput)?;
    let mut log = ErrorLog::default();
    let (mut plan, folder) = if let [path] = paths {
        let metadata = std::fs::metadata(path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => LoadError::NotFound { path: path.clone() },
            _ => LoadError::Unreadable { path: path.clone(), cause },
        })?;
        if metadata.is_dir() {
            (folder::plan(path, &mut log)?, path.clone())
        } else {
            let folder = parent(path);
            let parts = folder::split_parts(path, &folder, &mut log);
            (parts.unwrap_or_else(|| listed(paths, &mut log)), folder)
        }
    } else {
        let plan = listed(paths, &mut log);
        let names: Vec<String> = plan.files.iter().map(|path| file_name(path)).collect();
        folder::torch::check_slices(first, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        (plan, parent(first))
    };
    let (files, contents) = open_files(&plan.files, access, &mut log, first)?;
    // A file that describes its model is not of the model that config.json beside it may describe.
    let mut own = contents.iter().find_map(|file| file.config.clone());
    let (mut config, mut adapter_config, mut aside) = (None, None, None);
    if own.is_none() {
        config = read_config(&folder, &mut plan.side_files, &mut log);
        // Beside a whole model it may be left over from before the adapter was merged.
        if config.is_none() || files.iter().any(|file| file.name.starts_with(ADAPTER_FILES)) {
            let (side_files, log) = (&mut plan.side_files, &mut log);
            adapter_config = read_object(&folder, ADAPTER_CONFIG, "broken-config", side_files, log);
        }
        aside = read_quantization(&folder, config.as_ref(), &mut plan.side_files, &mut log);
    }

    let mut metadata = Metadata {
        path: typed(paths),
        format: formats(&files),
        files: files.iter().map(OpenFile::record).collect(),
        fingerprint: fingerprint(&files, &contents, &plan.side_files),
        ..Metadata::default()
    };
    shards::check_splits(&files, &contents, &mut log);
    tell_contents(&files, &contents, &mut metadata);
    metadata.unread.append(&mut plan.unread);
    let mut stored = collect(contents, &files, &mut log);
    if let Some(file) = files.get(0) {
        file.container.finish(&mut stored, &mut own);
    }
    if let Some(index) = &plan.index {
        compare_with(index, &stored, &files, &mut log);
    }
    if let Some((name, index)) = &plan.stale {
        stale(name, index, &stored, &files, &mut log);
    }
    metadata.config = own.or(config);
    metadata.adapter_config = adapter_config;
    let quantization = metadata.config.as_ref().and_then(quantization_of).or(aside.as_ref());
    metadata.shared = shared(&stored);
    let claims = packing::claims(&Tensors::new(&stored, &files, quantization));
    let (entries, places) = place::entries(&stored, claims);
    metadata.errors = log.finish();
    Ok(Checkpoint { entries, places, stored, files, metadata })
}

/// What the files say of themselves beside their tensors.
fn tell_contents(files: &Files, contents: &[StoredFile], metadata: &mut Metadata) {
    for (file, stored) in files.iter().zip(contents) {
        let globals = stored.globals.iter();
        metadata.globals.extend(
            globals.map(|global| GlobalRecord { file: file.name.clone(), ..global.clone() }),
        );
        let notes = stored.notes.iter();
        metadata.notes.extend(notes.map(|note| format!("{}: {note}", escaped(&file.name))));
    }
}

/// Tensors that are the same bytes as an earlier one.
fn shared(stored: &[StoredTensor]) -> Vec<(String, String)> {
    let mut first: HashMap<_, &str> = HashMap::with_capacity(stored.len());
    let mut pairs = Vec::new();
    for tensor in stored.iter().filter(|tensor| tensor.bytes > 0) {
        let place = (tensor.file, tensor.start, &tensor.type_name, &tensor.shape, &tensor.view);
        if let Some(original) = first.get(&place) {
            pairs.push((tensor.name.clone(), (*original).to_owned()));
        } else {
            first.insert(place, &tensor.name);
        }
    }
    pairs
}

/// What the configuration says of the way weights are stored, its own or that of its text part.
fn quantization_of(config: &Value) -> Option<&Value> {
    let of = |value| QUANTIZATION.iter().find_map(|key| Value::get(value, key));
    of(config).or_else(|| of(config.get("text_config")?))
}

/// The formats of the files, each once.
fn formats(files: &Files) -> String {
    let formats: BTreeSet<&str> = files.iter().map(|file| file.format.as_str()).collect();
    formats.into_iter().collect::<Vec<_>>().join(", ")
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
    Plan { files, ..Plan::default() }
}

fn typed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The parsed config.json; an absent one is no fault.
fn read_config(folder: &Path, side_files: &mut Vec<SideFile>, log: &mut ErrorLog) -> Option<Value> {
    read_object(folder, CONFIG, "broken-config", side_files, log)
}

/// What a file beside config.json says of the way weights are stored, when config.json says nothing.
fn read_quantization(
    folder: &Path,
    config: Option<&Value>,
    side_files: &mut Vec<SideFile>,
    log: &mut ErrorLog,
) -> Option<Value> {
    if config.and_then(quantization_of).is_some() {
        return None;
    }
    let name = QUANTIZATION_FILES.into_iter().find(|name| folder.join(name).exists())?;
    let Value::Map(mut value) = read_object(folder, name, "broken-side-file", side_files, log)?
    else {
        return None;
    };
    // modelopt's has everything one level down; GPTQ's and AWQ's do not name themselves.
    if let Some(Value::Map(inner)) = value.get("quantization").cloned() {
        value.extend(inner);
    }
    if name == "quantize_config.json" {
        value.entry(Key::Borrowed("quant_method")).or_insert_with(|| Value::Text("gptq".into()));
    }
    if name == "quant_config.json" {
        value.entry(Key::Borrowed("quant_method")).or_insert_with(|| Value::Text("awq".into()));
    }
    if name == "hf_quant_config.json" {
        value
            .entry(Key::Borrowed("quant_method"))
            .or_insert_with(|| Value::Text("modelopt".into()));
    }
    Some(Value::Map(value))
}

/// A side file that holds a JSON object; an absent one is no fault.
fn read_object(
    folder: &Path,
    name: &'static str,
    code: &'static str,
    side_files: &mut Vec<SideFile>,
    log: &mut ErrorLog,
) -> Option<Value> {
    let read = || -> Result<_, String> {
        let (bytes, state) = match regular::read_side_file(&folder.join(name)) {
            Err(FileError::Missing) => return Ok(None),
            other => other.map_err(|e| e.to_string())?,
        };
        let document = json::parse(&bytes)?;
        if !matches!(document.value, Value::Map(_)) {
            return Err("is not a JSON object".to_owned());
        }
        Ok(Some((document, SideFile::new(name, state, &bytes))))
    };
    match read() {
        Ok(None) => None,
        Ok(Some((document, side_file))) => {
            if !document.repeated.is_empty() {
                // The keys are not shown: a link may lead to a file that is no configuration.
                log.add(ErrorScope::SideFile, name, "duplicate-key", || {
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
            log.add(ErrorScope::SideFile, name, code, || reason);
            None
        }
    }
}

/// Opens every file and reads its header; those that are rejected go to the log.
fn open_files(
    paths: &[PathBuf],
    access: Access,
    log: &mut ErrorLog,
    first: &Path,
) -> Result<(Files, Vec<StoredFile>), LoadError> {
    let (mut opened, mut contents) = (Vec::new(), Vec::new());
    let mut tensors = 0u64;
    for path in paths {
        let keep = opened.len() < KEPT_OPEN;
        let fault = match OpenFile::open(path, access, keep) {
            Ok((file, stored)) => {
                let count = tensors.saturating_add(stored.tensors.len() as u64);
                if count <= MAX_TENSORS {
                    tensors = count;
                    opened.push(file);
                    contents.push(stored);
                    continue;
                }
                FileError::TooManyTensors { count }
            }
            Err(fault) => fault,
        };
        if paths.len() == 1 && log.is_empty() {
            return Err(LoadError::File { path: path.clone(), cause: fault.into() });
        }
        log.add(ErrorScope::Shard, &file_name(path), fault.code(), || fault.to_string());
    }
    if opened.is_empty() {
        let errors = std::mem::take(log).finish();
        return Err(LoadError::NothingUsable { path: first.to_owned(), errors });
    }
    Ok((Files::new(opened), contents))
}

/// One line per file: header hash (or content hash of a side file), size, modification time, name.
fn fingerprint(files: &Files, contents: &[StoredFile], side_files: &[SideFile]) -> String {
    let mut text = String::new();
    let mut line = |hash: u128, state: &FileState, name: &str| {
        let (bytes, modified) = (state.bytes, state.modified_nanos());
        // Writing to a string does not fail.
        let _ = writeln!(text, "{hash:032x} {bytes} {modified} {}", escaped(name));
    };
    for (file, stored) in files.iter().zip(contents) {
        line(stored.hash, &file.blob.state(), &file.name);
    }
    for file in side_files {
        line(file.hash, &file.state, file.name);
    }
    text
}

/// The tensors of all files, the first of each name.
fn collect(contents: Vec<StoredFile>, files: &Files, log: &mut ErrorLog) -> Vec<StoredTensor> {
    let mut stored: Vec<StoredTensor> = Vec::new();
    let mut holders: HashMap<String, usize> = HashMap::new();
    for (file, (content, opened)) in contents.into_iter().zip(files.iter()).enumerate() {
        for fault in content.faults {
            match &fault.tensor {
                Some(name) => log.add(ErrorScope::Tensor, name, fault.code, || {
                    format!(
                        "tensor {} in {}: {}",
                        quoted(name),
                        quoted(&opened.name),
                        fault.message
                    )
                }),
                None => log.add(ErrorScope::Shard, &opened.name, fault.code, || fault.message),
            }
        }
        for tensor in content.tensors {
            let name = &tensor.name;
            if let Some(holder) = holders.get(name).and_then(|at| files.get(*at)) {
                log.add(ErrorScope::Tensor, name, "duplicate-name", || {
                    format!(
                        "tensor {}: in {} and again in {}; the later one is not used",
                        quoted(name),
                        quoted(&holder.name),
                        quoted(&opened.name)
                    )
                });
                continue;
            }
            holders.insert(name.clone(), file);
            stored.push(StoredTensor { file, ..tensor });
        }
    }
    stored
}

/// Reports an index in whose stead other shards are read.
fn stale(name: &str, index: &Index, stored: &[StoredTensor], files: &Files, log: &mut ErrorLog) {
    let named: BTreeSet<&str> = index.weight_map.values().filter_map(Value::as_str).collect();
    let held = stored.iter().filter(|tensor| index.shard_of(&tensor.name).is_some()).count();
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let (first, last) = (names.first().unwrap_or(&""), names.last().unwrap_or(&""));
    log.add(ErrorScope::SideFile, name, "stale-index", || {
        format!(
            "it names {} files and none is here; the folder holds {} to {}, which are complete and are read in their stead ({held} of the index's {} tensors)",
            named.len(),
            quoted(first),
            quoted(last),
            index.weight_map.len()
        )
    });
}

/// Reports where the files and the index disagree.
fn compare_with(index: &Index, stored: &[StoredTensor], files: &Files, log: &mut ErrorLog) {
    let mut found: HashMap<&str, &str> = HashMap::with_capacity(stored.len());
    for tensor in stored {
        let shard = files.get(tensor.file).map_or("", |file| &file.name);
        found.insert(&tensor.name, shard);
        let fault = match index.shard_of(&tensor.name) {
            Some(listed) if listed == shard => continue,
            Some(listed) => format!("the index places it in {}", quoted(listed)),
            None => "the index does not list it".to_owned(),
        };
        log.add(ErrorScope::Tensor, &tensor.name, "unlisted-tensor", || {
            format!("tensor {}: is in {}, {fault}", quoted(&tensor.name), quoted(shard))
        });
    }
    // A shard that is missing or rejected has its own record; its tensors are not told one by one.
    let read: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    for (tensor, shard) in &index.weight_map {
        let Some(shard) = shard.as_str().filter(|shard| read.contains(shard)) else { continue };
        if !found.contains_key(tensor.as_ref()) {
            log.add(ErrorScope::Tensor, tensor, "missing-tensor", || {
                format!("tensor {}: is not in {} as the index says", quoted(tensor), quoted(shard))
            });
        }
    }
}

impl Checkpoint {
    /// The entry and its place, when `bytes` of it can be had.
    fn at(
        &self,
        entry: EntryId,
        range: &Range<u64>,
        count: usize,
        size: impl Fn(&TensorEntry) -> u64,
    ) -> Result<(&TensorEntry, &Place), SourceError> {
        let at = usize::try_from(entry.0).unwrap_or(usize::MAX);
        let found = self.entries.get(at).zip(self.places.get(at));
        let length = range.end.checked_sub(range.start);
        found
            .filter(|(entry, _)| range.end <= size(entry) && length == Some(count as u64))
            .ok_or_else(|| SourceError::OutOfRange {
                tensor: found.map_or_else(|| format!("#{}", entry.0), |(e, _)| e.name.clone()),
                start: range.start,
                end: range.end,
                size: found.map_or(0, |(entry, _)| size(entry)),
            })
    }

    fn reader<'a>(&'a self, entry: &'a TensorEntry, place: &'a Place) -> place::Reader<'a> {
        place::Reader { entry, place, stored: &self.stored, files: &self.files }
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
        let (entry, place) = self.at(entry, &range, into.len(), TensorEntry::served_bytes)?;
        self.reader(entry, place).bytes(range.start, into)
    }

    fn rounding_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [f32],
    ) -> Result<(), SourceError> {
        let (entry, place) = self.at(entry, &range, into.len(), |entry| entry.elements)?;
        self.reader(entry, place).rounding(range, into)
    }

    /// Also names a file that was deleted or replaced by another of its name.
    fn changed_files(&self) -> Vec<String> {
        let changed = self.files.iter().filter(|file| file.blob.has_changed());
        changed.map(|file| file.name.clone()).collect()
    }
}
