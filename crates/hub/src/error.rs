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
