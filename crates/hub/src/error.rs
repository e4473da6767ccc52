//! Why a name stands for nothing.

use std::io;
use std::path::PathBuf;

/// Why a model cannot be had by its name. The message begins with the name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// What was typed cannot be a name.
    #[error("{text}: is no name of a model: {why}; write {form}")]
    Id {
        /// As typed.
        text: String,
        /// What is wrong with it.
        why: &'static str,
        /// How such names look.
        form: &'static str,
    },
    /// Nothing says where the cache is.
    #[error("{id}: there is no cache to look into: neither HF_HUB_CACHE, HF_HOME nor HOME is set")]
    NoCache {
        /// The model.
        id: String,
    },
    /// The cache has nothing of the model.
    #[error("{id}: there is no such model in the cache {}", cache.display())]
    NotCached {
        /// The model.
        id: String,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// The cache has the model, but nothing of this revision.
    #[error(
        "{id}: the cache {} has the model, but nothing of revision {revision}; {}",
        cache.display(), offered(known)
    )]
    NotAtRevision {
        /// The model.
        id: String,
        /// What was asked for.
        revision: String,
        /// The folder of the cache.
        cache: PathBuf,
        /// Revisions that are there.
        known: Vec<String>,
    },
    /// Several commits begin like the revision.
    #[error("{id}: {revision} is the beginning of {count} commits in the cache; write more of it")]
    SeveralCommits {
        /// The model.
        id: String,
        /// What was asked for.
        revision: String,
        /// How many.
        count: usize,
    },
    /// The cache has the model, but not this file of it.
    #[error("{id}: the cache has commit {commit} without this file; {}", offered(known))]
    NoFile {
        /// The file, by the model's id.
        id: String,
        /// The commit.
        commit: String,
        /// Files with weights that are there.
        known: Vec<String>,
    },
    /// The download of the weights did not end.
    #[error(
        "{id}: the cache has no weights of commit {commit}, only {files} of an unfinished download with {bytes} bytes",
        files = crate::cache::files(*.files)
    )]
    Unfinished {
        /// The model.
        id: String,
        /// The commit.
        commit: String,
        /// Number of `.incomplete` files.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A record of a cache does not say what it should.
    #[error("{id}: {} is no record of a cache: {why}", path.display())]
    Damaged {
        /// The model.
        id: String,
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A record of a cache cannot be read.
    #[error("{id}: {}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The model.
        id: String,
        /// The record.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        cause: io::Error,
    },
    /// Ollama has no such model.
    #[error("{name}: Ollama has no such model in {}", listed(folders))]
    NotInOllama {
        /// The model.
        name: String,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// The environment forbids the network.
    #[error(
        "{id}: it is not in the cache, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids to fetch it"
    )]
    Offline {
        /// The model.
        id: String,
    },
    /// The hub cannot be reached.
    #[error("{id}: {endpoint} cannot be reached: {why}")]
    NotReached {
        /// The model or file.
        id: String,
        /// The hub.
        endpoint: String,
        /// What went wrong.
        why: String,
    },
    /// The hub does not give it.
    #[error("{id}: {endpoint} answers {status}: {why}")]
    Refused {
        /// The model or file.
        id: String,
        /// The hub.
        endpoint: String,
        /// The status of HTTP.
        status: u16,
        /// What that means.
        why: String,
    },
    /// What the hub answers cannot be right.
    #[error("{id}: the answer of the hub cannot be used: {why}")]
    Unusable {
        /// The model or file.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// A repository without weights that can be read.
    #[error(
        "{id}: it has no weights that can be read (.safetensors, .gguf, or .bin, .pt, .pth, .ckpt of PyTorch)"
    )]
    NoWeights {
        /// The model.
        id: String,
    },
    /// A repository of several models.
    #[error("{id}: it holds {} models: {}; name one of them, as hf:{id}/{}", files.len(), sizes(files), first(files))]
    SeveralModels {
        /// The model.
        id: String,
        /// Their first files, and the bytes of each.
        files: Vec<(String, u64)>,
    },
    /// The beginnings of its files do not say what a model is.
    #[error("{id}: headers alone do not say what it is: {why}; --download fetches it")]
    NotSkimmed {
        /// The file.
        id: String,
        /// Why they do not.
        why: &'static str,
    },
    /// Somebody asked to stop.
    #[error("{id}: interrupted")]
    Stopped {
        /// The model.
        id: String,
    },
    /// The disk is too small.
    #[error("{id}: {needs} bytes are to be fetched, and {free} bytes are free in {}", folder.display())]
    NoRoom {
        /// The model.
        id: String,
        /// Bytes that are missing.
        needs: u64,
        /// Bytes that are free.
        free: u64,
        /// Where they would go.
        folder: PathBuf,
    },
    /// A file came, and is not what it should be.
    #[error(
        "{id}: {bytes} bytes came whose SHA-256 is {found} and should be {expected}; nothing is kept of them"
    )]
    WrongChecksum {
        /// The file.
        id: String,
        /// How many came.
        bytes: u64,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A download broke off and could not go on.
    #[error(
        "{id}: the connection broke off after {bytes} of {of} bytes; the same command goes on from there"
    )]
    CutOff {
        /// The file.
        id: String,
        /// Bytes that are here.
        bytes: u64,
        /// Of how many.
        of: u64,
    },
    /// The cache cannot be written.
    #[error("{id}: {}: cannot be written: {cause}", path.display())]
    Unwritable {
        /// The model.
        id: String,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        cause: io::Error,
    },
}

impl HubError {
    /// Stable kebab-case code, one for each variant.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Id { .. } => "no-id",
            Self::NoCache { .. } => "no-cache",
            Self::NotCached { .. } => "not-cached",
            Self::NotAtRevision { .. } => "not-at-revision",
            Self::SeveralCommits { .. } => "several-commits",
            Self::NoFile { .. } => "no-file",
            Self::Unfinished { .. } => "unfinished",
            Self::Damaged { .. } => "damaged-cache",
            Self::Unreadable { .. } => "unreadable",
            Self::NotInOllama { .. } => "not-in-ollama",
            Self::Offline { .. } => "offline",
            Self::NotReached { .. } => "not-reached",
            Self::Refused { .. } => "refused",
            Self::Unusable { .. } => "unusable-answer",
            Self::NoWeights { .. } => "no-weights",
            Self::SeveralModels { .. } => "several-models",
            Self::NotSkimmed { .. } => "not-skimmed",
            Self::Stopped { .. } => "stopped",
            Self::NoRoom { .. } => "no-room",
            Self::WrongChecksum { .. } => "wrong-checksum",
            Self::CutOff { .. } => "cut-off",
            Self::Unwritable { .. } => "unwritable",
        }
    }
}

/// Names that can be asked for, a few of many.
fn offered(known: &[String]) -> String {
    const MOST: usize = 8;
    if known.is_empty() {
        return "there is none".to_owned();
    }
    let shown: Vec<&str> = known.iter().take(MOST).map(String::as_str).collect();
    let more = match known.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("there is {}{more}", shown.join(", "))
}

fn listed(folders: &[PathBuf]) -> String {
    let shown: Vec<String> = folders.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

/// Files with their sizes, a few of many.
fn sizes(files: &[(String, u64)]) -> String {
    let shown: Vec<String> =
        files.iter().map(|(name, bytes)| format!("{name} ({bytes} bytes)")).collect();
    let listed = offered(&shown);
    listed.strip_prefix("there is ").unwrap_or(&listed).to_owned()
}

fn first(files: &[(String, u64)]) -> &str {
    files.first().map_or("FILE", |(name, _)| name)
}
