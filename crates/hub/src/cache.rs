//! The cache that `huggingface_hub` keeps: `models--org--name/` with `refs/<revision>` (a commit),
//! `snapshots/<commit>/` (the files, links to blobs where the system has links) and `blobs/`.
//!
//! Source: <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>, `huggingface_hub/file_download.py`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::{Found, HubError, ModelId};

/// Longest record that is read.
const MOST_RECORD: u64 = 1 << 20;
/// Names that are looked through, and depth of folders.
const MOST_NAMES: usize = 20_000;
const MOST_DEPTH: usize = 5;
/// Shortest beginning of a commit that stands for it.
const LEAST_COMMIT: usize = 7;

/// What an unfinished download is called.
pub(crate) const INCOMPLETE: &str = ".incomplete";

/// Endings of files with weights.
const WEIGHTS: [&str; 6] = ["safetensors", "gguf", "bin", "pt", "pth", "ckpt"];

pub(crate) fn find(id: &ModelId, cache: Option<&Path>) -> Result<Found, HubError> {
    let cache = cache.ok_or_else(|| HubError::NoCache { id: id.to_string() })?;
    let model = cache.join(id.folder());
    if !model.is_dir() {
        return Err(HubError::NotCached { id: id.to_string(), cache: cache.to_owned() });
    }
    let commit = commit(id, &model, cache)?;
    let snapshot = model.join("snapshots").join(&commit);
    let label = id.label(&commit);
    let weights = weights(&snapshot);
    if let Some(file) = id.file() {
        let path = file.split('/').fold(snapshot, |path, part| path.join(part));
        if path.exists() {
            return Ok(Found { path, label, notes: Vec::new() });
        }
        return Err(HubError::NoFile { id: id.to_string(), commit, known: weights });
    }
    let (count, bytes) = incomplete(&model.join("blobs"));
    if weights.is_empty() && count > 0 {
        return Err(HubError::Unfinished { id: id.to_string(), commit, files: count, bytes });
    }
    let note = (count > 0).then(|| {
        let files = files(count);
        format!("{id}: the cache also has {files} of an unfinished download, with {bytes} bytes")
    });
    Ok(Found { path: snapshot, label, notes: note.into_iter().collect() })
}

pub(crate) fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// The commit that is meant, of those that have a snapshot.
fn commit(id: &ModelId, model: &Path, cache: &Path) -> Result<String, HubError> {
    let snapshots: BTreeSet<String> =
        entries(&model.join("snapshots")).filter(|name| is_commit(name)).collect();
    let revision = id.revision();
    let at = revision.split('/').fold(model.join("refs"), |path, part| path.join(part));
    let named = if snapshots.contains(revision) {
        Some(revision.to_owned())
    } else if at.is_file() {
        let bytes = read_record(&at).map_err(|cause| HubError::Unreadable {
            id: id.to_string(),
            path: at.clone(),
            cause,
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let commit = text.trim();
        if !is_commit(commit) {
            let why = "it holds no commit";
            return Err(HubError::Damaged { id: id.to_string(), path: at, why });
        }
        snapshots.contains(commit).then(|| commit.to_owned())
    } else {
        beginning(id, revision, &snapshots)?
    };
    named.ok_or_else(|| HubError::NotAtRevision {
        id: id.model().to_string(),
        revision: revision.to_owned(),
        cache: cache.to_owned(),
        known: revisions(model, &snapshots),
    })
}

/// The one commit that begins like this.
fn beginning(
    id: &ModelId,
    revision: &str,
    snapshots: &BTreeSet<String>,
) -> Result<Option<String>, HubError> {
    if revision.len() < LEAST_COMMIT || !is_hex(revision) {
        return Ok(None);
    }
    let found: Vec<&String> = snapshots.iter().filter(|name| name.starts_with(revision)).collect();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => Err(HubError::SeveralCommits {
            id: id.model().to_string(),
            revision: revision.to_owned(),
            count: found.len(),
        }),
    }
}

/// Names that lead to a snapshot: those in `refs/`, and commits without one.
fn revisions(model: &Path, snapshots: &BTreeSet<String>) -> Vec<String> {
    let mut names = Vec::new();
    let mut named = BTreeSet::new();
    for (name, path) in below(&model.join("refs")) {
        let commit =
            read_record(&path).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        if let Ok(commit) = commit
            && snapshots.contains(&commit)
        {
            names.push(name);
            named.insert(commit);
        }
    }
    names.extend(snapshots.difference(&named).cloned());
    names
}

pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Files with weights in a snapshot, by their paths within. A link whose blob is gone is none.
fn weights(snapshot: &Path) -> Vec<String> {
    let is_weights = |name: &String| {
        let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|e| WEIGHTS.iter().any(|known| known.eq_ignore_ascii_case(e)))
    };
    below(snapshot).into_iter().map(|(name, _)| name).filter(is_weights).collect()
}

/// Number and bytes of downloads that did not end.
fn incomplete(blobs: &Path) -> (usize, u64) {
    let left = below(blobs).into_iter().filter(|(_, path)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // One that was finished later, under another name, says nothing.
        name.strip_suffix(INCOMPLETE).is_some_and(|stem| {
            let etag = stem.split('.').next().unwrap_or(stem);
            !path.with_file_name(etag).exists()
        })
    });
    left.fold((0, 0), |(count, sum): (usize, u64), (_, path)| {
        let bytes = fs::metadata(path).map_or(0, |file| file.len());
        (count.saturating_add(1), sum.saturating_add(bytes))
    })
}

/// The files in a folder and below it, by their paths within, sorted. Links to folders are not followed.
fn below(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut left = vec![(folder.to_owned(), String::new(), 0usize)];
    while let Some((path, prefix, depth)) = left.pop() {
        for name in entries(&path) {
            let (inner, full) = (path.join(&name), format!("{prefix}{name}"));
            let is_folder = fs::symlink_metadata(&inner).is_ok_and(|entry| entry.is_dir());
            if is_folder && depth < MOST_DEPTH {
                left.push((inner, format!("{full}/"), depth.saturating_add(1)));
            } else if inner.is_file() && found.len() < MOST_NAMES {
                found.push((full, inner));
            }
        }
    }
    found.sort();
    found
}

/// Names in a folder; none where it cannot be listed.
fn entries(folder: &Path) -> impl Iterator<Item = String> {
    let read = fs::read_dir(folder).into_iter().flatten().take(MOST_NAMES);
    read.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// A small file as it is; a larger one is cut.
pub(crate) fn read_record(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_RECORD).read_to_end(&mut bytes)?;
    Ok(bytes)
}
