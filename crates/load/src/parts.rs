//! Folders of folders: which of them hold parts of one model, and which files with weights nobody reads.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use weightscope_core::{FileRecord, Value};

use crate::blob::{Access, FileBlob};
use crate::files::{is_gguf, is_torch_file};
use crate::{LoadError, json, regular};

/// Most parts of one model, and depth of folders and number of names that are looked through.
const MOST_PARTS: usize = 64;
const MOST_DEPTH: usize = 4;
const MOST_NAMES: usize = 20_000;

/// Lists of parts: of sentence-transformers, and of Diffusers.
const MODULES: &str = "modules.json";
const PIPELINE: &str = "model_index.json";

/// One part of a model: a folder with weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its folder below that of the model, as `2_Dense` or `text_encoder`; empty for the model's own.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
}

/// The parts of the model in `folder`: the modules that modules.json lists (sentence-transformers), the parts of a
/// pipeline with a model_index.json (Diffusers); else, where there are no weights in `folder` itself, all its folders
/// that have some. One part, the folder itself, for anything else.
///
/// Looks at names and the two lists alone. Names in lists never lead out of the folder.
///
/// # Errors
/// [`LoadError::SeveralModels`] where folders hold separate models, as the checkpoints of a training run are.
pub fn parts(folder: &Path) -> Result<Vec<Part>, LoadError> {
    let own = Part { name: String::new(), path: folder.to_owned() };
    if !folder.is_dir() {
        return Ok(vec![own]);
    }
    let has_own = has_weights(folder);
    let mut parts: Vec<Part> = if has_own { vec![own.clone()] } else { Vec::new() };
    let listed = listed(folder);
    let is_listed = listed.is_some();
    for name in listed.unwrap_or_else(|| if has_own { Vec::new() } else { folders(folder) }) {
        let path = folder.join(&name);
        let is_new = !parts.iter().any(|part| part.path == path);
        if parts.len() < MOST_PARTS && is_new && has_weights(&path) {
            parts.push(Part { name, path });
        }
    }
    if !is_listed && !has_own {
        separate(folder, &parts)?;
    }
    Ok(if parts.is_empty() { vec![own] } else { parts })
}

/// Refuses what are states of one model, told by names that differ in numbers alone.
fn separate(folder: &Path, parts: &[Part]) -> Result<(), LoadError> {
    let without: BTreeSet<String> = parts
        .iter()
        .map(|part| part.name.chars().filter(|c| !c.is_ascii_digit()).collect())
        .collect();
    if parts.len() < 2 || without.len() == parts.len() {
        return Ok(());
    }
    let bytes =
        |part: &Part| weights(&part.path).iter().fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
    let files = parts.iter().map(|part| (part.name.clone(), bytes(part))).collect();
    Err(LoadError::SeveralModels { path: folder.to_owned(), format: "separate", files })
}

/// The folders that a list beside them makes parts of the model; `None` where there is no list.
fn listed(folder: &Path) -> Option<Vec<String>> {
    let read = |name: &str| {
        let (bytes, _) = regular::read_side_file(&folder.join(name)).ok()?;
        Some(json::parse(&bytes).ok()?.value)
    };
    if let Some(Value::List(modules)) = read(MODULES) {
        let paths = modules.iter().filter_map(|module| module.get("path")?.as_str());
        return Some(paths.filter(|path| is_inside(path)).map(str::to_owned).collect());
    }
    let Some(Value::Map(pipeline)) = read(PIPELINE) else { return None };
    let parts = pipeline.iter().filter(|(_, value)| matches!(value, Value::List(_)));
    Some(parts.map(|(name, _)| name.to_string()).filter(|name| is_inside(name)).collect())
}

/// Whether a path leads to a folder below, without `..` and without a root.
fn is_inside(path: &str) -> bool {
    let mut components = Path::new(path).components();
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && components.by_ref().all(|part| matches!(part, Component::Normal(_)))
}

/// Names of the folders in a folder, sorted; hidden ones are left out.
fn folders(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = entries(folder)
        .into_iter()
        .filter(|(_, is_folder)| *is_folder)
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names
}

/// Names in a folder, and whether they are folders (links are followed).
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let Ok(read) = std::fs::read_dir(folder) else { return Vec::new() };
    let named = read.take(MOST_NAMES).filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
        let is_folder = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
        Some((name, is_folder))
    });
    named.collect()
}

/// Whether a file is one of weights, by its name; what many programs call alike is looked into.
fn is_weights(folder: &Path, name: &str) -> bool {
    let path = Path::new(name);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let lower = extension.to_ascii_lowercase();
    match lower.as_str() {
        "safetensors" | "npz" => true,
        "bin" | "pt" | "pth" | "ckpt" => {
            crate::folder::torch::is_candidate(name)
                && FileBlob::open(&folder.join(name), Access::Positional, true)
                    .is_ok_and(|file| is_torch_file(&file))
        }
        _ => is_gguf(path),
    }
}

/// Files with weights in a folder, and their bytes.
fn weights(folder: &Path) -> Vec<(String, u64)> {
    let bytes = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    let mut files: Vec<(String, u64)> = entries(folder)
        .into_iter()
        .filter(|(name, is_folder)| !is_folder && is_weights(folder, name))
        .map(|(name, _)| (name.clone(), bytes(&name)))
        .collect();
    files.sort();
    files
}

fn has_weights(folder: &Path) -> bool {
    entries(folder).iter().any(|(name, is_folder)| !is_folder && is_weights(folder, name))
}

/// Files with weights in `folder` and below it that are not among `read`, named from `folder` on. Folders of `parts`
/// are theirs. Links to folders are followed four deep at most.
pub(crate) fn unread(folder: &Path, read: &[PathBuf]) -> Vec<FileRecord> {
    let parts: Vec<PathBuf> = parts(folder)
        .unwrap_or_default()
        .into_iter()
        .filter(|part| !part.name.is_empty())
        .map(|part| part.path)
        .collect();
    let mut found = Vec::new();
    let mut left = vec![(folder.to_owned(), String::new(), 0)];
    let mut names = 0usize;
    while let Some((path, prefix, depth)) = left.pop() {
        names = names.saturating_add(entries(&path).len());
        for (name, bytes) in weights(&path) {
            if !read.contains(&path.join(&name)) {
                found.push(FileRecord { name: format!("{prefix}{name}"), bytes });
            }
        }
        let below = folders(&path);
        if depth >= MOST_DEPTH || names > MOST_NAMES {
            continue;
        }
        for name in below {
            let inner = path.join(&name);
            if !parts.contains(&inner) {
                left.push((inner, format!("{prefix}{name}/"), depth.saturating_add(1)));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_lead_nowhere_else() {
        for path in ["2_Dense", "a/b", "größe"] {
            assert!(is_inside(path), "{path}");
        }
        for path in ["", ".", "..", "../x", "/etc", "a/../../b", "a\\b", "a\0b"] {
            assert!(!is_inside(path), "{path:?}");
        }
    }
}
