//! What a model is, from the headers of its files alone: they are fetched into a folder beside as much nothing as the
//! files have bytes, so that whoever reads headers reads them there as anywhere else.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::choice::Listed;
use crate::fetch::{Wanted, at, resolve, wanted};
use crate::remote::{Remote, Span, TRIES, unusable};
use crate::{Found, HubError, ModelId};

/// What is asked for at first, the longest header, and the longest file that only says what weights are.
const FIRST_HEADER: u64 = 4 << 20;
const MOST_HEADER: u64 = 128 << 20;
const MOST_SIDE_FILE: u64 = 32_000_000;
const TOO_LONG: &str = "its header is too long";
/// Deepest lists in metadata of GGUF.
const MOST_DEPTH: u32 = 8;
const PIECE: usize = 1 << 16;

/// Element types that are numbers and never codes, so that no byte of a tensor says what another one means.
const PLAIN: [&str; 7] = ["F64", "F32", "F16", "BF16", "I64", "BOOL", "C64"];

/// Fetches the headers of a model's files, and what describes it, into `folder`, which is empty and belongs to the
/// caller. Nothing in it may be read but headers. `stop` is asked between reads.
///
/// # Errors
/// [`HubError::NotSkimmed`] where headers are not enough: files of PyTorch, and quantised models, whose small tensors
/// say what others mean; and what [`fetch`](crate::fetch()) fails with.
pub fn skim(
    remote: &Remote,
    id: &ModelId,
    folder: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Found, HubError> {
    let Wanted { files, commit } = wanted(remote, id)?;
    for file in &files {
        let about = format!("{}/{}", id.repo(), file.path);
        let url = resolve(id, &commit, &file.path);
        let path = at(folder, &file.path);
        let mut tries = 1u32;
        let mut most = FIRST_HEADER;
        loop {
            match begin(remote, &about, &url, file, &path, most, stop) {
                // Few headers are that long.
                Err(HubError::NotSkimmed { why: TOO_LONG, .. }) if most < MOST_HEADER => {
                    most = MOST_HEADER;
                }
                Err(HubError::CutOff { .. }) if tries < TRIES => {
                    remote.wait(tries, None);
                    tries = tries.saturating_add(1);
                }
                done => break done?,
            }
        }
    }
    let path = id.file().map_or_else(|| folder.to_owned(), |file| at(folder, file));
    Ok(Found { path, label: id.label(&commit), notes: Vec::new() })
}

/// Fetches the beginning of one file to `path`, and makes that as long as the file.
fn begin(
    remote: &Remote,
    about: &str,
    url: &str,
    file: &Listed,
    path: &Path,
    most: u64,
    stop: &dyn Fn() -> bool,
) -> Result<(), HubError> {
    let id = || about.to_owned();
    let not_skimmed = |why| HubError::NotSkimmed { id: id(), why };
    let unwritable = |cause| HubError::Unwritable { id: id(), path: path.to_owned(), cause };
    let (limit, read): (u64, Reader) = match file.path.rsplit('.').next() {
        Some("json") => (MOST_SIDE_FILE, whole),
        Some("safetensors") => (most, safetensors),
        Some("gguf") => (most, gguf),
        _ => return Err(not_skimmed("it is a file of PyTorch")),
    };
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(unwritable)?;
    let target = File::create(path).map_err(unwritable)?;
    let end = file.bytes.min(limit);
    let span = if end < file.bytes { Span { start: 0, end: Some(end) } } else { Span::ALL };
    let answer = remote.get(about, url, span)?;
    if !answer.status.is_success() {
        return Err(unusable(about, "it has no bytes to give"));
    }
    let mut head = Head {
        from: BufReader::new(answer.body.into_reader()),
        to: BufWriter::new(target),
        piece: vec![0; PIECE],
        bytes: 0,
        end,
        stop,
    };
    match read(&mut head, file) {
        // What is no header stays what it is: whoever reads it says so.
        Ok(()) | Err(Fault::Malformed) => {
            let target = head.to.into_inner().map_err(|error| unwritable(error.into_error()))?;
            target.set_len(file.bytes).map_err(unwritable)
        }
        Err(Fault::TooLong) => Err(not_skimmed(TOO_LONG)),
        Err(Fault::Codes) => Err(not_skimmed("it is quantised, and small tensors say how")),
        Err(Fault::Stopped) => Err(HubError::Stopped { id: id() }),
        Err(Fault::Unwritable(cause)) => Err(unwritable(cause)),
        Err(Fault::CutOff) => Err(HubError::CutOff { id: id(), bytes: head.bytes, of: file.bytes }),
    }
}

type Reader = fn(&mut Head<'_>, &Listed) -> Result<(), Fault>;

/// Why a header was not read to its end.
enum Fault {
    CutOff,
    Malformed,
    TooLong,
    Codes,
    Stopped,
    Unwritable(io::Error),
}

/// The beginning of a file on its way: what is read is kept.
struct Head<'a> {
    from: BufReader<ureq::BodyReader<'static>>,
    to: BufWriter<File>,
    /// Room for what is only handed on.
    piece: Vec<u8>,
    bytes: u64,
    /// How far it may be read.
    end: u64,
    stop: &'a dyn Fn() -> bool,
}

impl Head<'_> {
    /// The next bytes, as many as `into` has.
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Fault> {
        if (self.stop)() {
            return Err(Fault::Stopped);
        }
        let bytes = self.bytes.saturating_add(into.len() as u64);
        if bytes > self.end {
            return Err(Fault::TooLong);
        }
        self.from.read_exact(into).map_err(|_| Fault::CutOff)?;
        self.to.write_all(into).map_err(Fault::Unwritable)?;
        self.bytes = bytes;
        Ok(())
    }

    fn skip(&mut self, count: u64) -> Result<(), Fault> {
        let mut piece = std::mem::take(&mut self.piece);
        let mut left = count;
        let mut done = Ok(());
        while left > 0 && done.is_ok() {
            let next = left.min(PIECE as u64);
            let part = usize::try_from(next).ok().and_then(|next| piece.get_mut(..next));
            done = part.map_or(Err(Fault::Malformed), |part| self.fill(part));
            left = left.saturating_sub(next);
        }
        self.piece = piece;
        done
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

fn whole(head: &mut Head<'_>, file: &Listed) -> Result<(), Fault> {
    head.skip(file.bytes)
}

/// Length, then JSON. Source: <https://huggingface.co/docs/safetensors>.
fn safetensors(head: &mut Head<'_>, file: &Listed) -> Result<(), Fault> {
    let length = head.u64()?;
    if length > file.bytes.saturating_sub(8) {
        return Err(Fault::Malformed);
    }
    if length > head.end.saturating_sub(8) {
        return Err(Fault::TooLong);
    }
    let mut header = Vec::new();
    while (header.len() as u64) < length {
        // Room grows with what came.
        let from = header.len();
        let left = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(from);
        let to = from.saturating_add(left.min(PIECE));
        header.resize(to, 0);
        head.fill(header.get_mut(from..).unwrap_or_default())?;
    }
    let header: Value = serde_json::from_slice(&header).map_err(|_| Fault::Malformed)?;
    let entries = header.as_object().ok_or(Fault::Malformed)?;
    let types = entries.values().filter_map(|entry| entry.get("dtype")?.as_str());
    for name in types {
        if !PLAIN.contains(&name) {
            return Err(Fault::Codes);
        }
    }
    Ok(())
}

/// Magic, version, counts, metadata, and the table of tensors. Source: ggml, `docs/gguf.md`.
fn gguf(head: &mut Head<'_>, _file: &Listed) -> Result<(), Fault> {
    let (magic, version) = (head.u32()?, head.u32()?);
    if magic.to_le_bytes() != *b"GGUF" || !(2..=3).contains(&version) {
        return Err(Fault::Malformed);
    }
    let (tensors, pairs) = (head.u64()?, head.u64()?);
    for _ in 0..pairs {
        text(head)?;
        let kind = head.u32()?;
        value(head, kind, 0)?;
    }
    for _ in 0..tensors {
        text(head)?;
        let dimensions = head.u32()?;
        // Sizes, type and place.
        head.skip(u64::from(dimensions).saturating_mul(8).saturating_add(12))?;
    }
    Ok(())
}

fn text(head: &mut Head<'_>) -> Result<(), Fault> {
    let length = head.u64()?;
    head.skip(length)
}

fn value(head: &mut Head<'_>, kind: u32, depth: u32) -> Result<(), Fault> {
    match (kind, width(kind)) {
        (_, Some(width)) => head.skip(width),
        (8, _) => text(head),
        (9, _) if depth < MOST_DEPTH => {
            let (kind, count) = (head.u32()?, head.u64()?);
            if let Some(width) = width(kind) {
                return head.skip(width.saturating_mul(count));
            }
            for _ in 0..count {
                value(head, kind, depth.saturating_add(1))?;
            }
            Ok(())
        }
        _ => Err(Fault::Malformed),
    }
}

/// Bytes of a value that is a number or a truth.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
