//! Files of `torch.save`: a pickle that describes tensors, and their bytes.
//!
//! The pickle is read as data (see `pickle.rs`); nothing in it is imported, called or run. What it would import is listed
//! for [`weightscope_core::Metadata::globals`], and the tensors are read all the same.
//!
//! Source: torch's `serialization.py`, `_utils.py` and, for zip members, `caffe2/serialize/inline_container.cc`.

mod contents;
mod globals;
mod legacy;
mod pickle;
mod tensors;

use std::collections::{BTreeMap, HashMap, HashSet};

use weightscope_core::stats::ContentHasher;
use weightscope_core::{Danger, GlobalRecord};

use self::globals::{Element, Meaning};
use self::pickle::{Global, Node, Pickle};
use self::tensors::{Span, Storages};
use super::zip::{self, Archive, Member};
use super::{Container, Encoding, Fault, StoredFile, StoredTensor};
use crate::FileError;
use crate::blob::{self, Blob};
use crate::quoted::{escaped, quoted};

/// Largest pickle; those of the largest models have a few megabytes.
const MAX_PICKLE_BYTES: u64 = 256 << 20;
/// How many times the bytes of a file its tensors may have in all, those that share bytes counted each.
const MOST_ALIASES: u64 = 16;
/// What small files may have beyond.
const FREE_BYTES: u64 = 16 << 20;
/// Most pickles behind the one that is meant.
const MOST_PICKLES: usize = 8;

/// The format.
#[derive(Debug)]
pub(crate) struct PyTorch;

impl Container for PyTorch {
    fn name(&self) -> &'static str {
        "PyTorch"
    }

    fn claims(&self, head: &[u8]) -> bool {
        is_zip(head) || is_pickle(head) || is_tar(head)
    }

    /// Costs one read of the directory and of the pickle, and memory of several times the pickle while it is looked at.
    fn open(&self, blob: &dyn Blob, head: &[u8]) -> Result<StoredFile, FileError> {
        if is_tar(head) {
            let format = "a tar archive of PyTorch before 0.1.10, which torch itself warns of";
            return Err(FileError::UnsupportedFormat { format });
        }
        if is_zip(head) { open_zip(blob) } else { legacy::open(blob) }
    }
}

fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// A pickle of protocol 2 or later; not the length of a safetensors header, whose upper half is zero.
fn is_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, ..]) && head.get(4..8) != Some(&[0; 4])
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn invalid(reason: impl Into<String>) -> FileError {
    FileError::InvalidHeader { reason: reason.into() }
}

/// The member that holds the pickle of the model.
const PICKLE: &str = "data.pkl";

fn open_zip(blob: &dyn Blob) -> Result<StoredFile, FileError> {
    let archive = zip::read(blob)?;
    let root = root(&archive)?;
    let by_name: HashMap<&str, &Member> =
        archive.members.iter().map(|member| (member.name.as_str(), member)).collect();
    let member = |name: &str| by_name.get(format!("{root}{name}").as_str()).copied();
    let Some(data) = member(PICKLE) else { return Err(invalid("there is no data.pkl")) };
    let bytes = read_member(blob, data)?;
    let pickle = pickle::read(&bytes);
    let mut inside = Inside::default();
    let told = inside.list(&pickle, &data.name);
    let found = sound(&pickle, told)?;

    let big_endian = match member("byteorder") {
        Some(order) => read_member(blob, order)?.starts_with(b"big"),
        None => false,
    };
    let mut storages = Storages::new();
    let mut used: HashSet<&str> = HashSet::new();
    for storage in pickle.nodes().filter_map(|id| tensors::storage(&pickle, id)) {
        let Some(member) = member(&format!("data/{}", storage.key)) else { continue };
        used.insert(&member.name);
        storages.entry(storage.key.to_owned()).or_insert_with(|| match &member.packed {
            None => Ok(Span { start: member.start, bytes: member.bytes }),
            Some(why) => Err(format!("its storage {} {why}", quoted(&member.name))),
        });
    }
    inside.check_data(data, &bytes, &pickle);
    inside.check_others(blob, &archive, data, &used)?;

    let is_script = archive.members.iter().any(|member| {
        let name = member.name.strip_prefix(&root).unwrap_or_default();
        name == "constants.pkl" || name.starts_with("code/")
    });
    let contents = contents::find(&pickle, found).map_err(|error| match error {
        FileError::NoTensors { .. } if is_script => {
            FileError::NoTensors { found: SCRIPT.to_owned() }
        }
        other => other,
    })?;
    let mut hasher = ContentHasher::default();
    hasher.update(&archive.directory);
    hasher.update(&bytes);
    let mut file = inside.finish(blob, &pickle, &contents, &storages, big_endian);
    file.hash = hasher.finish();
    if is_script {
        file.purpose = Some("TorchScript");
        file.notes.push(
            "is a TorchScript program: its code is not run, and its weights are read by the names of its modules"
                .to_owned(),
        );
    }
    Ok(file)
}

/// What to do with a program whose weights cannot be told.
const SCRIPT: &str = "a TorchScript program without weights that can be told from its code; save them with \
    torch.save(torch.jit.load(FILE).state_dict(), \"weights.pt\") and look at that";

/// The folder of data.pkl, with its slash.
fn root(archive: &Archive) -> Result<String, FileError> {
    let mut roots = archive.members.iter().filter_map(|member| {
        let root = member.name.strip_suffix(PICKLE)?;
        (root.is_empty() || root.ends_with('/')).then_some(root)
    });
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root.to_owned()),
        (Some(one), Some(other)) => Err(invalid(format!(
            "the zip archive has several pickles of a model: {} and {}",
            quoted(&format!("{one}{PICKLE}")),
            quoted(&format!("{other}{PICKLE}"))
        ))),
        (None, _) => {
            let is_numpy =
                archive.members.iter().any(|member| extension(&member.name) == Some("npy"));
            let format =
                if is_numpy { "a NumPy array file" } else { "a zip archive without a model" };
            Err(FileError::UnsupportedFormat { format })
        }
    }
}

fn extension(name: &str) -> Option<&str> {
    Some(name.rsplit_once('.')?.1)
}

/// The bytes of a member that is read whole.
fn read_member(blob: &dyn Blob, member: &Member) -> Result<Vec<u8>, FileError> {
    if let Some(why) = &member.packed {
        return Err(invalid(format!("zip member {} {why}", quoted(&member.name))));
    }
    if member.bytes > MAX_PICKLE_BYTES {
        return Err(invalid(format!(
            "zip member {} has {} bytes, at most {MAX_PICKLE_BYTES} are read",
            quoted(&member.name),
            member.bytes
        )));
    }
    let bytes = blob::read_checked(blob, member.start, member.bytes, |_| Ok(()))?;
    if (bytes.len() as u64) < member.bytes {
        let needs = member.start.saturating_add(member.bytes);
        return Err(FileError::HeaderTruncated { bytes: blob.len(), needs });
    }
    Ok(bytes)
}

/// The value of a pickle, or the error that says what it would have done before it broke.
fn sound(pickle: &Pickle<'_>, calls: Vec<String>) -> Result<pickle::Id, FileError> {
    pickle.root.ok_or_else(|| {
        let reason = pickle.broken.clone().unwrap_or_default();
        FileError::BrokenPickle { reason, calls }
    })
}

/// What is found in a file beside its tensors.
#[derive(Debug, Default)]
struct Inside {
    globals: BTreeMap<(Danger, String, String, String), u64>,
    faults: Vec<Fault>,
}

impl Inside {
    fn fault(&mut self, code: &'static str, message: String) {
        self.faults.push(Fault { tensor: None, code, message });
    }

    /// Lists what a pickle would import; returns the names of what could do harm.
    fn list(&mut self, pickle: &Pickle<'_>, place: &str) -> Vec<String> {
        let mut harmful = Vec::new();
        for Global { module, name, count } in &pickle.globals {
            let Meaning::Code(danger) = globals::meaning(module, name) else { continue };
            if danger == Danger::Runs && harmful.len() < 5 {
                harmful.push(escaped(
                    &format!("{module}.{name}").chars().take(100).collect::<String>(),
                ));
            }
            let key = (danger, module.clone(), name.clone(), place.to_owned());
            let sum = self.globals.entry(key).or_default();
            *sum = sum.saturating_add(*count);
        }
        harmful
    }

    /// Whatever is odd about the member that holds the model's pickle.
    fn check_data(&mut self, data: &Member, bytes: &[u8], pickle: &Pickle<'_>) {
        let name = quoted(&data.name);
        if zip::crc32(bytes) != data.crc {
            self.fault(
                "crc-mismatch",
                format!("{name} does not have the checksum of the zip archive; torch does not look at it, scanners stop there"),
            );
        }
        if data.flagged {
            self.fault(
                "flagged-member",
                format!("{name} is marked as encrypted and is not; torch does not mind, scanners skip it"),
            );
        }
        self.check_rest(bytes, pickle, &data.name);
    }

    /// Pickles behind the end of one.
    fn check_rest(&mut self, bytes: &[u8], pickle: &Pickle<'_>, place: &str) {
        let mut rest = bytes.get(pickle.length..).unwrap_or_default();
        if pickle.root.is_none() || rest.is_empty() {
            return;
        }
        self.fault(
            "second-pickle",
            format!("{} goes on after its end, for {} bytes", quoted(place), rest.len()),
        );
        let place = format!("{place}, after its end");
        for _ in 0..MOST_PICKLES {
            let next = pickle::read(rest);
            self.list(&next, &place);
            rest = rest.get(next.length.max(1)..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
        }
    }

    /// Pickles and archives in members where there should be none.
    fn check_others(
        &mut self,
        blob: &dyn Blob,
        archive: &Archive,
        data: &Member,
        used: &HashSet<&str>,
    ) -> Result<(), FileError> {
        let mut left = MAX_PICKLE_BYTES;
        let others = archive.members.iter().filter(|member| {
            member.name != data.name
                && !used.contains(member.name.as_str())
                && member.packed.is_none()
        });
        for member in others {
            let mut head = [0; 8];
            let filled = blob.read_at(member.start, &mut head)?;
            let length = usize::try_from(member.bytes).unwrap_or(usize::MAX).min(filled);
            let head = head.get(..length).unwrap_or_default();
            let is_named = matches!(extension(&member.name), Some("pkl" | "pickle"));
            if is_zip(head) {
                self.fault(
                    "nested-archive",
                    format!(
                        "{} is a zip archive inside of the archive; it is not looked into",
                        quoted(&member.name)
                    ),
                );
            }
            if !(is_named || matches!(head, [0x80, 2..=5, ..])) || member.bytes > left {
                continue;
            }
            left = left.saturating_sub(member.bytes);
            let bytes = read_member(blob, member)?;
            let pickle = pickle::read(&bytes);
            self.list(&pickle, &member.name);
            self.check_rest(&bytes, &pickle, &member.name);
        }
        Ok(())
    }

    /// The file, with the tensors of the model.
    fn finish(
        mut self,
        blob: &dyn Blob,
        pickle: &Pickle<'_>,
        contents: &contents::Contents,
        storages: &Storages,
        big_endian: bool,
    ) -> StoredFile {
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(contents.tensors.len());
        for (at, (name, _)) in contents.tensors.iter().enumerate() {
            if places.insert(name, at).is_some() {
                self.faults.push(Fault {
                    tensor: Some(name.clone()),
                    code: "duplicate-name",
                    message: "twice in the pickle; the later one is used, as loaders do".to_owned(),
                });
            }
        }
        let mut budget = blob.len().saturating_mul(MOST_ALIASES).saturating_add(FREE_BYTES);
        let mut stored = Vec::with_capacity(places.len());
        for (at, (name, id)) in contents.tensors.iter().enumerate() {
            if places.get(name.as_str()) != Some(&at) {
                continue;
            }
            let tensor = tensors::tensor(pickle, *id, storages, big_endian);
            let mut result = tensor.unwrap_or_else(|| Err("is none".to_owned()));
            if let Ok(tensor) = &result {
                let bytes = tensor.elements.saturating_mul(tensor.element.bytes());
                if let Some(left) = budget.checked_sub(bytes) {
                    budget = left;
                } else {
                    result = Err(format!(
                        "its {bytes} bytes are shared with so many other elements that all tensors have {MOST_ALIASES} times the bytes of the file"
                    ));
                }
            }
            match result {
                Ok(tensor) => stored.push(of(name, tensor)),
                Err(message) => self.faults.push(Fault {
                    tensor: Some(name.clone()),
                    code: "broken-tensor",
                    message,
                }),
            }
        }
        let globals = self.globals.into_iter().map(|((danger, module, name, place), count)| {
            GlobalRecord { module, name, danger, count, file: String::new(), place }
        });
        StoredFile {
            tensors: stored,
            faults: self.faults,
            globals: globals.collect(),
            notes: contents.note.iter().cloned().collect(),
            ..StoredFile::default()
        }
    }
}

fn of(name: &str, tensor: tensors::Tensor) -> StoredTensor {
    StoredTensor {
        name: name.to_owned(),
        encoding: match tensor.element {
            Element::Plain(dtype) => Encoding::Plain(dtype),
            Element::Other(..) => Encoding::Unknown,
        },
        type_name: tensor.element.name().to_owned(),
        bytes: tensor.elements.saturating_mul(tensor.element.bytes()),
        shape: tensor.shape,
        elements: tensor.elements,
        file: 0,
        start: tensor.start,
        view: tensor.view.map(Box::new),
        orientation: None,
        row_order: None,
    }
}

/// Whether a value of a pickle is this integer.
fn is_integer(pickle: &Pickle<'_>, id: pickle::Id, expected: i64) -> bool {
    matches!(pickle.get(id), Node::Integer(n) if *n == expected)
}
