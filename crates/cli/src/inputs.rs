//! What a user named: paths, or models by id, which stand for paths.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use weightscope::SourceRecord;
use weightscope::load::LoadError;
use weightscope_hub::{Found, HubError, Name, Places};

use crate::download::{self, Headers};
use crate::exit::Exit;
use crate::output::{check_inputs, complain};
use crate::signals::Signals;

/// The paths to be read, and what reports call those that were not typed.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) paths: Vec<PathBuf>,
    found: Vec<Found>,
    /// Where the headers of a model lie, which are gone when this is.
    headers: Vec<Headers>,
}

/// What is done about a model that is named by id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// Fetch it, also where `hf:` does not ask for it.
    pub(crate) download: bool,
    /// Show how that goes.
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "nothing is fetched"))]
    pub(crate) progress: bool,
    /// Headers are enough, unless a download is wished; and what ends that early.
    pub(crate) headers: Option<&'a Signals>,
}

/// Why something that was named is not there.
#[derive(Debug)]
pub(crate) struct Unresolved {
    pub(crate) exit: Exit,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Inputs {
    /// Finds every one of `typed`, fetching models where that is wished: what exists is a path, and what does not may
    /// be a model by its id.
    pub(crate) fn find(typed: &[PathBuf], wish: Wish<'_>) -> Result<Self, Unresolved> {
        let places = Places::from_environment(&variable);
        let mut inputs = Self::default();
        for path in typed {
            let (found, headers) =
                find(path, &places, wish).map_err(|error| unresolved(path, &error, wish))?;
            inputs.headers.extend(headers);
            inputs.paths.push(found.as_ref().map_or(path, |found| &found.path).clone());
            inputs.found.extend(found);
        }
        for note in inputs.found.iter().flat_map(|found| &found.notes) {
            complain(note);
        }
        Ok(inputs)
    }

    /// The same for the shards of one checkpoint.
    pub(crate) fn of_one(typed: &[PathBuf], wish: Wish<'_>) -> Result<Self, Unresolved> {
        let inputs = Self::find(typed, wish)?;
        let (exit, code) = (Exit::Usage, "several-inputs");
        check_inputs(&inputs.paths).map_err(|message| Unresolved { exit, code, message })?;
        Ok(inputs)
    }

    /// Puts the name of a model in the place of the path that it stands for.
    pub(crate) fn name(&self, source: &mut SourceRecord) {
        for found in &self.found {
            let path = found.path.to_string_lossy();
            if source.path.contains(&*path) {
                source.path = source.path.replacen(&*path, &found.label, 1);
                source.notes.extend(found.notes.iter().cloned());
            }
        }
    }
}

/// A variable of the environment.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn find(
    path: &Path,
    places: &Places,
    wish: Wish<'_>,
) -> Result<(Option<Found>, Option<Headers>), HubError> {
    // What is there is what is meant, whatever it is called.
    let Some(text) = path.to_str().filter(|_| path.symlink_metadata().is_err()) else {
        return Ok((None, None));
    };
    let Some(name) = Name::parse(text)? else { return Ok((None, None)) };
    if let Name::Model { id, asked } = &name
        && (*asked || wish.download)
    {
        let got = download::get(id, &name, places, &variable, wish);
        return got.map(|(found, headers)| (Some(found), headers));
    }
    match places.find(&name) {
        // A path to a file that is missing, rather than a file of a model that is unknown.
        Err(HubError::NotCached { .. }) if is_file(&name) => Ok((None, None)),
        found => found.map(|found| (Some(found), None)),
    }
}

/// Whether a name that may be a path has the form of a path to a file.
fn is_file(name: &Name) -> bool {
    matches!(name, Name::Model { id, asked: false } if id.file().is_some())
}

fn unresolved(path: &Path, error: &HubError, wish: Wish<'_>) -> Unresolved {
    let name = path.display().to_string();
    let is_prefixed = name.starts_with("hf:");
    let exit = match error {
        HubError::Id { .. } => Exit::Usage,
        HubError::Stopped { .. } => wish.headers.map_or(Exit::Interrupted, Signals::exit),
        _ => Exit::Rejected,
    };
    let message = match error {
        HubError::NotCached { cache, .. } if !is_prefixed => format!(
            "{name}: there is no such file or folder, and no such model in the cache {}{}",
            cache.display(),
            download::hint(&name)
        ),
        HubError::NoCache { .. } if !is_prefixed => {
            LoadError::NotFound { path: path.to_owned() }.to_string()
        }
        HubError::NotCached { .. }
        | HubError::NotAtRevision { .. }
        | HubError::NoFile { .. }
        | HubError::Unfinished { .. } => format!("{error}{}", download::hint(&name)),
        _ => error.to_string(),
    };
    Unresolved { exit, code: error.code(), message }
}
