//! Which files of a folder are the checkpoint.

pub(crate) mod torch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use weightscope_core::stats::ContentHasher;
use weightscope_core::{ErrorScope, FileRecord, Metrics, Value};

use crate::blob::{Access, FileBlob};
use crate::container::gguf::{self, Purpose};
use crate::files::is_gguf;
use crate::log::ErrorLog;
use crate::quoted::quoted;
use crate::regular::{self, FileState};
use crate::{LoadError, foreign, json, parts, shards};

/// What a model of one format is called in its folder.
#[derive(Debug)]
struct Naming {
    /// The file, when it is one.
    single: &'static str,
    /// The index of several.
    index: &'static str,
}

const SAFETENSORS: Naming =
    Naming { single: "model.safetensors", index: "model.safetensors.index.json" };
const DIFFUSERS: Naming = Naming {
    single: "diffusion_pytorch_model.safetensors",
    index: "diffusion_pytorch_model.safetensors.index.json",
};
const PYTORCH: Naming =
    Naming { single: "pytorch_model.bin", index: "pytorch_model.bin.index.json" };

/// The files to read, and what an index says of them.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Files with weights, by name.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) index: Option<Index>,
    /// Side files that were read, for the fingerprint.
    pub(crate) side_files: Vec<SideFile>,
    /// An index that names none of the files that are read in its stead.
    pub(crate) stale: Option<(&'static str, Index)>,
    /// Other files with weights in the folder and below it.
    pub(crate) unread: Vec<FileRecord>,
}

/// What the fingerprint says of a side file.
#[derive(Debug)]
pub(crate) struct SideFile {
    pub(crate) name: &'static str,
    pub(crate) state: FileState,
    pub(crate) hash: u128,
}

impl SideFile {
    pub(crate) fn new(name: &'static str, state: FileState, bytes: &[u8]) -> Self {
        let mut hasher = ContentHasher::default();
        hasher.update(bytes);
        Self { name, state, hash: hasher.finish() }
    }
}

/// The `weight_map` of an index: tensor to file name.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) weight_map: Metrics,
}

impl Index {
    /// The file that should hold `tensor`.
    pub(crate) fn shard_of(&self, tensor: &str) -> Option<&str> {
        self.weight_map.get(tensor).and_then(Value::as_str)
    }
}

/// Looks for a model in `folder`: a single `model.safetensors`, else the shards of its index, else every safetensors
/// file; else the same of `pytorch_model.bin`; else for a GGUF model, and then for the only file of torch.save.
pub(crate) fn plan(folder: &Path, log: &mut ErrorLog) -> Result<Plan, LoadError> {
    let names = file_names(folder)?;
    let mut plan = Plan::default();
    let is_named = [&SAFETENSORS, &DIFFUSERS]
        .into_iter()
        .any(|naming| by_name(naming, folder, &names, &mut plan, log));
    if !is_named {
        let all = |names: Vec<&str>| names.into_iter().map(|name| folder.join(name)).collect();
        let found = of_one_model(
            names.iter().map(String::as_str).filter(|name| is_safetensors(name)).collect(),
        );
        if !found.is_empty() {
            shards::report_missing(&found, log);
            plan.files = all(found);
        } else if !by_name(&PYTORCH, folder, &names, &mut plan, log) {
            let found = match gguf_model(folder, &names)? {
                Some(found) => found,
                None => match torch::model(folder, &names)? {
                    Some(found) => found,
                    None => only_array(&names).ok_or_else(|| no_weights(folder, &names))?,
                },
            };
            shards::report_missing(&found, log);
            plan.files = all(found);
        }
    }
    plan.unread = parts::unread(folder, &plan.files);
    // A shard that the index does not list is told with the index.
    if plan.index.is_some() {
        plan.unread.retain(|file| !log.names(&file.name));
    }
    Ok(plan)
}

/// Words between the name of a model's file and its extension that make a variant of it.
const VARIANTS: &[&str] = &["fp16", "bf16", "fp32", "fp8", "non_ema", "ema"];

/// Of all safetensors files of a folder those of one model: no variant of a file that is there, and neither adapters nor
/// another layout of the same weights beside them.
fn of_one_model(mut names: Vec<&str>) -> Vec<&str> {
    let leave = |names: &mut Vec<&str>, is_beside: &dyn Fn(&str) -> bool| {
        if names.iter().any(|name| !is_beside(name)) {
            names.retain(|name| !is_beside(name));
        }
    };
    leave(&mut names, &|name| name.starts_with("consolidated"));
    leave(&mut names, &|name| name.starts_with("adapter"));
    let plain: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.retain(|name| {
        let without = VARIANTS.iter().find_map(|variant| {
            let (before, after) = name.split_once(&format!(".{variant}"))?;
            Some(format!("{before}{after}"))
        });
        without.is_none_or(|other| !plain.contains(&other))
    });
    names
}

/// Takes the shards of the index, or the single file; whether there is one of the two.
fn by_name(
    naming: &Naming,
    folder: &Path,
    names: &BTreeSet<String>,
    plan: &mut Plan,
    log: &mut ErrorLog,
) -> bool {
    let Naming { single, index } = *naming;
    let has = |name: &str| names.contains(name);
    if has(index) {
        match read_index(folder, index) {
            Ok((weight_map, repeated, side_file)) => {
                plan.side_files.push(side_file);
                let shards = listed_shards(index, &weight_map, log);
                if has(single) && !shards.contains_key(single) {
                    // What loaders read in such a folder is the single file.
                    log.add(ErrorScope::SideFile, index, "unused-index", || {
                        format!(
                            "{} is read; it is not among the files of the index",
                            quoted(single)
                        )
                    });
                } else {
                    for name in repeated {
                        log.add(ErrorScope::Tensor, &name, "duplicate-name", || {
                            format!("tensor {}: twice in {index}; the first is used", quoted(&name))
                        });
                    }
                    let is_here = |name: &String| names.contains(name);
                    if !shards.keys().any(is_here)
                        && let Some(others) = shards::whole_set(index, names)
                    {
                        plan.files = others.into_iter().map(|name| folder.join(name)).collect();
                        plan.stale = Some((index, Index { weight_map }));
                        return true;
                    }
                    plan.files = select_shards(folder, names, index, &shards, log);
                    plan.index = Some(Index { weight_map });
                    return true;
                }
            }
            Err(reason) => {
                log.add(ErrorScope::SideFile, index, "broken-index", || {
                    format!("{reason}; the folder is read without it")
                });
            }
        }
    }
    if has(single) {
        plan.files.push(folder.join(single));
    }
    has(single)
}

/// All parts of the split GGUF that `path` is one of; `None` when it is none.
pub(crate) fn split_parts(path: &Path, folder: &Path, log: &mut ErrorLog) -> Option<Plan> {
    let name = path.file_name()?.to_str().filter(|name| is_gguf(Path::new(name)))?;
    let names = file_names(folder).ok()?;
    // Links into a store of blobs: the set lies beside the link.
    let parts = shards::set_of(name, &names)?;
    shards::report_missing(&parts, log);
    let files = parts.into_iter().map(|name| folder.join(name)).collect();
    Some(Plan { files, ..Plan::default() })
}

/// The files of the one GGUF model in a folder; `None` when there is none. Quantisations of a model are several models,
/// and what is for another purpose (adapters, the eyes of a model, importance matrices) is none.
fn gguf_model<'a>(
    folder: &Path,
    names: &'a BTreeSet<String>,
) -> Result<Option<Vec<&'a str>>, LoadError> {
    let mut candidates: Vec<Vec<&str>> = Vec::new();
    for name in names.iter().filter(|name| is_gguf(Path::new(name))) {
        let is_known = candidates.iter().any(|parts| parts.contains(&name.as_str()));
        if !is_known {
            candidates.push(shards::set_of(name, names).unwrap_or_else(|| vec![name.as_str()]));
        }
    }
    if candidates.len() > 1 {
        // The first part has the metadata. What cannot be read is not for another purpose.
        let is_model = |parts: &&Vec<&str>| {
            let first = parts.first().map(|name| folder.join(name));
            let file = first.and_then(|path| FileBlob::open(&path, Access::Positional, true).ok());
            let purpose = file.and_then(|file| gguf::purpose(&file));
            purpose.is_none_or(|purpose| purpose == Purpose::Model)
        };
        let models: Vec<Vec<&str>> = candidates.iter().filter(is_model).cloned().collect();
        if !models.is_empty() {
            candidates = models;
        }
    }
    if candidates.len() <= 1 {
        return Ok(candidates.pop());
    }
    let files = sizes(folder, &candidates);
    Err(LoadError::SeveralModels { path: folder.to_owned(), format: "GGUF", files })
}

/// The first file of each model, and the bytes of all its files.
fn sizes(folder: &Path, models: &[Vec<&str>]) -> Vec<(String, u64)> {
    let bytes = |name: &&str| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    let named = models.iter().filter_map(|parts| {
        let bytes = parts.iter().map(bytes).fold(0, u64::saturating_add);
        Some(((*parts.first()?).to_owned(), bytes))
    });
    named.collect()
}

/// Names in the folder, sorted; hidden files (such as the `._` companions that macOS leaves on foreign
/// disks) and names that are not Unicode are left out.
fn file_names(folder: &Path) -> Result<BTreeSet<String>, LoadError> {
    let unreadable = |cause| LoadError::Unreadable { path: folder.to_owned(), cause };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().into_string();
        names.extend(name.ok().filter(|name| !name.starts_with('.')));
    }
    Ok(names)
}

fn is_safetensors(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"))
}

/// The only archive of NumPy arrays, or the only array.
fn only_array(names: &BTreeSet<String>) -> Option<Vec<&str>> {
    let of = |ending: &str| {
        let mut found = names.iter().map(String::as_str).filter(|name| name.ends_with(ending));
        found.next().filter(|_| found.next().is_none()).map(|name| vec![name])
    };
    of(".npz").or_else(|| of(".npy"))
}

fn no_weights(folder: &Path, names: &BTreeSet<String>) -> LoadError {
    let path = folder.to_owned();
    names
        .iter()
        .find_map(|name| Some((name, foreign::by_extension(Path::new(name))?)))
        .map_or(LoadError::NoWeights { path: path.clone() }, |(name, format)| {
            LoadError::UnsupportedFormat { path, file: name.clone(), format }
        })
}

/// The `weight_map`, the names that came again in it, and the file itself.
fn read_index(
    folder: &Path,
    name: &'static str,
) -> Result<(Metrics, Vec<String>, SideFile), String> {
    let (bytes, state) = regular::read_side_file(&folder.join(name)).map_err(|e| e.to_string())?;
    let document = json::parse(&bytes)?;
    let Value::Map(mut entries) = document.value else { return Err("is not an object".to_owned()) };
    match entries.swap_remove("weight_map") {
        Some(Value::Map(map)) if !map.is_empty() => {
            // A key repeated elsewhere in the file is none of the tensors'.
            let mut repeated = document.repeated;
            repeated.retain(|key| map.contains_key(key.as_str()));
            Ok((map, repeated, SideFile::new(name, state, &bytes)))
        }
        Some(Value::Map(_)) => Err("its \"weight_map\" is empty".to_owned()),
        Some(_) => Err("its \"weight_map\" is not an object".to_owned()),
        None => Err("has no \"weight_map\"".to_owned()),
    }
}

/// The files of an index with the number of tensors it places in each.
fn listed_shards(index: &str, weight_map: &Metrics, log: &mut ErrorLog) -> BTreeMap<String, u64> {
    let mut shards = BTreeMap::new();
    for (tensor, file) in weight_map {
        if let Some(file) = file.as_str() {
            let count: &mut u64 = shards.entry(file.to_owned()).or_default();
            *count = count.saturating_add(1);
        } else {
            log.add(ErrorScope::Tensor, tensor, "broken-index", || {
                format!("tensor {}: its file in {index} is not a text", quoted(tensor))
            });
        }
    }
    shards
}

/// The listed files that are there; reports those that are not, and their unlisted companions.
fn select_shards(
    folder: &Path,
    names: &BTreeSet<String>,
    index: &str,
    shards: &BTreeMap<String, u64>,
    log: &mut ErrorLog,
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (name, tensors) in shards {
        if !is_plain(name) {
            log.add(ErrorScope::Shard, name, "unsafe-path", || {
                format!("{} in {index} is not a plain file name and is not opened", quoted(name))
            });
        } else if names.contains(name) {
            files.push(folder.join(name));
        } else {
            log.add(ErrorScope::Shard, name, "missing-shard", || {
                format!("the file is not there; {index} places {tensors} tensors in it")
            });
        }
    }
    for name in shards::unlisted(names, shards) {
        log.add(ErrorScope::Shard, name, "unlisted-shard", || {
            format!(
                "is named like a shard of this model, but {index} does not list it; it is not read"
            )
        });
    }
    files
}

/// Whether `name` is one file name: no separator of any system, no `..`, not empty, not absolute.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let single = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    single && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        for name in ["model.safetensors", "a b", "..a", "größe.safetensors"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", ".", "..", "/a", "a/", "a/b", "../a", "a\\b", "C:\\a", "a\0b", "./a"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
