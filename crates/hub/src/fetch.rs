//! A model from a hub into the cache, in the layout of `huggingface_hub`, so that both share it.
//!
//! Source: <https://huggingface.co/docs/hub/api>, `huggingface_hub/file_download.py`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::choice::{self, Listed};
use crate::download::{Download, incomplete};
use crate::remote::{Remote, Span, header, origin, unusable};
use crate::{HubError, ModelId, cache, name};

/// Largest page of a listing, pages and files of one repository.
const MOST_PAGE: u64 = 16 << 20;
const MOST_PAGES: usize = 100;
const MOST_FILES: usize = 100_000;

/// How a fetch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// So much is missing.
    Begin {
        /// Files that are fetched.
        files: usize,
        /// Their bytes, those that are here already left out.
        bytes: u64,
    },
    /// A file begins.
    File {
        /// Its path in the repository.
        path: &'a str,
        /// Its bytes.
        bytes: u64,
    },
    /// So many of the missing bytes are here now.
    Bytes(u64),
}

/// Fetches the files of a model that a scan needs into `cache`, but for those that are there; afterwards
/// [`Places::find`](crate::Places::find) finds it. Names and sizes from the hub are checked before anything is written,
/// and nothing is written outside of the model's folder in the cache.
///
/// # Errors
/// [`HubError`]. What came of a file whose download broke off stays, and the next call goes on from there.
pub fn fetch(
    remote: &Remote,
    id: &ModelId,
    cache: &Path,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(), HubError> {
    let about = id.model().to_string();
    let Wanted { files: chosen, commit } = wanted(remote, id)?;
    let model = cache.join(id.folder());
    let blobs = model.join("blobs");
    let snapshot = model.join("snapshots").join(&commit);
    let is_missing = |file: &&Listed| {
        let has = |path: &Path| fs::metadata(path).is_ok_and(|found| found.len() == file.bytes);
        // Where there are no links, files stand in the snapshot alone.
        !has(&blobs.join(&file.etag)) && !has(&at(&snapshot, &file.path))
    };
    let missing: Vec<&Listed> = chosen.iter().filter(is_missing).collect();
    let here = |file: &Listed| {
        fs::metadata(incomplete(&blobs.join(&file.etag)))
            .map_or(0, |found| found.len().min(file.bytes))
    };
    let bytes = missing
        .iter()
        .fold(0, |sum: u64, file| sum.saturating_add(file.bytes.saturating_sub(here(file))));
    let unwritable = |path: &Path| {
        let (id, path) = (about.clone(), path.to_owned());
        move |cause| HubError::Unwritable { id, path, cause }
    };
    fs::create_dir_all(&blobs).map_err(unwritable(&blobs))?;
    if let Some(free) = free(&blobs).filter(|free| *free < bytes) {
        return Err(HubError::NoRoom { id: about, needs: bytes, free, folder: cache.to_owned() });
    }
    observe(Event::Begin { files: missing.len(), bytes });
    let mut done = 0u64;
    for file in &missing {
        observe(Event::File { path: &file.path, bytes: file.bytes });
        let before = here(file);
        let download = Download {
            remote,
            about: &format!("{}/{}", id.repo(), file.path),
            url: &resolve(id, &commit, &file.path),
            file,
            blob: &blobs.join(&file.etag),
        };
        let lock = cache.join(".locks").join(id.folder()).join(format!("{}.lock", file.etag));
        download.run(&lock, &mut |here| {
            observe(Event::Bytes(done.saturating_add(here.saturating_sub(before))));
        })?;
        done = done.saturating_add(file.bytes.saturating_sub(before));
    }
    for file in &chosen {
        let path = at(&snapshot, &file.path);
        place(file, &blobs.join(&file.etag), &path).map_err(unwritable(&path))?;
    }
    if id.revision() != commit {
        let path = at(&model.join("refs"), id.revision());
        write(&path, &commit).map_err(unwritable(&path))?;
    }
    Ok(())
}

/// What is needed of a model.
pub(crate) struct Wanted {
    pub(crate) files: Vec<Listed>,
    /// What the revision is now.
    pub(crate) commit: String,
}

/// Asks which files a model has, and chooses.
pub(crate) fn wanted(remote: &Remote, id: &ModelId) -> Result<Wanted, HubError> {
    let about = id.model().to_string();
    if remote.is_offline() {
        return Err(HubError::Offline { id: about });
    }
    let files = listing(remote, id, &about)?;
    let chosen = match id.file() {
        None => choice::of_model(&about, &files, "")?,
        Some(path) => match choice::of_file(&files, path) {
            Some(chosen) => chosen,
            None => choice::of_model(&id.to_string(), &files, path)?,
        },
    };
    let commit = commit(remote, id, &chosen)?;
    Ok(Wanted { files: chosen.into_iter().cloned().collect(), commit })
}

/// Every file of the repository.
fn listing(remote: &Remote, id: &ModelId, about: &str) -> Result<Vec<Listed>, HubError> {
    let (repo, revision) = (id.repo(), encoded(id.revision(), false));
    let mut answer = remote.get(
        about,
        &format!("/api/models/{repo}/tree/{revision}?recursive=true"),
        Span::ALL,
    )?;
    let mut files = Vec::new();
    for _ in 0..MOST_PAGES {
        let next = header(&answer.headers, "link").and_then(next_page).map(str::to_owned);
        let mut page = Vec::new();
        let read =
            answer.body.into_reader().take(MOST_PAGE.saturating_add(1)).read_to_end(&mut page);
        read.map_err(|_| unusable(about, "the list of its files breaks off"))?;
        if page.len() as u64 > MOST_PAGE {
            return Err(unusable(about, "the list of its files is too long"));
        }
        let page: Value = serde_json::from_slice(&page)
            .map_err(|_| unusable(about, "the list of its files is not JSON"))?;
        let page =
            page.as_array().ok_or_else(|| unusable(about, "there is no list of its files"))?;
        for entry in page.iter().filter(|entry| text(entry, "type") == Some("file")) {
            let file = listed(entry);
            files.push(file.ok_or_else(|| unusable(about, "the list of its files is odd"))?);
        }
        if files.len() > MOST_FILES {
            return Err(unusable(about, "the list of its files is too long"));
        }
        let Some(next) = next else { return Ok(files) };
        // The token goes with it.
        if origin(&next) != origin(remote.endpoint()) {
            return Err(unusable(about, "the list of its files goes on elsewhere"));
        }
        answer = remote.get_url(about, &next)?;
    }
    Err(unusable(about, "the list of its files is too long"))
}

/// One entry of a listing; `None` where it cannot be one.
fn listed(entry: &Value) -> Option<Listed> {
    let path = text(entry, "path").filter(|path| name::is_inside(path))?.to_owned();
    let large = entry.get("lfs").filter(|lfs| lfs.is_object());
    let of = large.unwrap_or(entry);
    let (bytes, etag) = (of.get("size")?.as_u64()?, text(of, "oid")?);
    let etag = etag.strip_prefix("sha256:").unwrap_or(etag).to_owned();
    let length = if large.is_some() { 64 } else { 40 };
    let is_hash = etag.len() == length && etag.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then_some(Listed { path, bytes, etag, sha256: large.is_some() })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// The address of the next page in `<address>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    next.trim().strip_prefix('<')?.split_once('>').map(|(url, _)| url)
}

/// The commit that the revision is now.
fn commit(remote: &Remote, id: &ModelId, chosen: &[&Listed]) -> Result<String, HubError> {
    if cache::is_commit(id.revision()) {
        return Ok(id.revision().to_owned());
    }
    let about = id.model().to_string();
    let path = chosen.first().map_or("config.json", |file| file.path.as_str());
    let headers = remote.head(&about, &resolve(id, id.revision(), path))?;
    let commit = header(&headers, "x-repo-commit").filter(|commit| cache::is_commit(commit));
    commit.map(str::to_owned).ok_or_else(|| unusable(&about, "it does not say which commit it is"))
}

/// Where a file lies on a hub.
pub(crate) fn resolve(id: &ModelId, revision: &str, path: &str) -> String {
    format!("/{}/resolve/{}/{}", id.repo(), encoded(revision, false), encoded(path, true))
}

/// A part of an address, with slashes or without.
fn encoded(text: &str, slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        if plain || (slashes && byte == b'/') {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A path with slashes, below a folder.
pub(crate) fn at(folder: &Path, path: &str) -> PathBuf {
    path.split('/').fold(folder.to_owned(), |folder, part| folder.join(part))
}

/// Puts a blob into a snapshot: as a relative link, or where there are none as the file itself.
fn place(file: &Listed, blob: &Path, path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() == file.bytes) {
        return Ok(());
    }
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    if path.symlink_metadata().is_ok() {
        // A link to a blob that was deleted, or a file that is not whole.
        fs::remove_file(path)?;
    }
    let etag = blob.file_name().unwrap_or_default();
    let up = "../".repeat(file.path.matches('/').count().saturating_add(2));
    link(&Path::new(&up).join("blobs").join(etag), path).or_else(|_| fs::rename(blob, path))
}

#[cfg(unix)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

/// Writes a record in one step.
fn write(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

/// Bytes that are free where a folder lies.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(encoded("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(encoded("a b/ü?#%.bin", true), "a%20b/%C3%BC%3F%23%25.bin");
        let link = "<https://a/x?cursor=1>; rel=\"next\"";
        assert_eq!(next_page(link), Some("https://a/x?cursor=1"));
        assert_eq!(next_page("<https://a>; rel=\"prev\""), None);
    }

    #[test]
    fn entries_that_lie_are_none() {
        let entry =
            |path: &str, oid: &str| serde_json::json!({"path": path, "oid": oid, "size": 3});
        let oid = "ab".repeat(20);
        assert!(listed(&entry("a/b.json", &oid)).is_some());
        for path in ["../a", "/a", "a/../b", "a\\b", "C:a", "", "a//b", "a\0"] {
            assert_eq!(listed(&entry(path, &oid)), None, "{path:?}");
        }
        for oid in ["", "../../x", &"ab".repeat(32), &"zz".repeat(20)] {
            assert_eq!(listed(&entry("a", oid)), None, "{oid}");
        }
    }
}
