//! Where caches lie, and what is found there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{HubError, Name, cache, ollama};

/// The folders of caches on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The cache that `huggingface_hub` keeps; `None` where no variable and no home says where it is.
    pub hub: Option<PathBuf>,
    /// Where Ollama keeps its models; the first that has one is it.
    pub ollama: Vec<PathBuf>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// A folder or file to be read.
    pub path: PathBuf,
    /// What reports call it: the name as typed, and which commit that is.
    pub label: String,
    /// What a reader of a report should know of it, such as files whose download did not end.
    pub notes: Vec<String>,
}

impl Places {
    /// The places that an environment says; `variable` looks one of its variables up. An empty one counts as unset.
    ///
    /// * The hub: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`,
    ///   `~/.cache/huggingface/hub` (`huggingface_hub.constants`).
    /// * Ollama: `OLLAMA_MODELS`, or `~/.ollama/models` and the home of its service on Linux.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let home = folder(variable, "HOME", None).or_else(|| folder(variable, "USERPROFILE", None));
        let get = |name: &str| folder(variable, name, home.as_deref());
        let below = |base: Option<PathBuf>, names: &[&str]| {
            base.map(|base| names.iter().fold(base, |path, name| path.join(name)))
        };
        let hub = get("HF_HUB_CACHE")
            .or_else(|| get("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| below(hub_home(variable), &["hub"]));
        let ollama = get("OLLAMA_MODELS").map_or_else(
            || {
                let own = below(home.clone(), &[".ollama", "models"]);
                own.into_iter().chain([PathBuf::from("/usr/share/ollama/.ollama/models")]).collect()
            },
            |models| vec![models],
        );
        Self { hub, ollama }
    }

    /// Looks a name up on this machine.
    ///
    /// # Errors
    /// [`HubError`]: it is not there, or only parts of it are.
    pub fn find(&self, name: &Name) -> Result<Found, HubError> {
        match name {
            Name::Model { id, .. } => cache::find(id, self.hub.as_deref()),
            Name::Ollama(name) => ollama::find(name, &self.ollama),
        }
    }
}

/// The folder of everything that Hugging Face's tools keep: `HF_HOME`, or `huggingface` in the user's cache.
pub(crate) fn hub_home(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let home = folder(variable, "HOME", None).or_else(|| folder(variable, "USERPROFILE", None));
    let get = |name: &str| folder(variable, name, home.as_deref());
    get("HF_HOME").or_else(|| {
        let cache = get("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
        cache.map(|cache| cache.join("huggingface"))
    })
}

/// The folder that a variable names, `~` being the user's home.
fn folder(
    variable: &dyn Fn(&str) -> Option<OsString>,
    name: &str,
    home: Option<&Path>,
) -> Option<PathBuf> {
    let path = PathBuf::from(variable(name).filter(|value| !value.is_empty())?);
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)]) -> Places {
        Places::from_environment(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_first_variable_that_says_something_wins() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "/c"),
            ("XDG_CACHE_HOME", "/d"),
            ("HOME", "/e"),
        ];
        let hub = ["/a", "/b", "/c/hub", "/d/huggingface/hub", "/e/.cache/huggingface/hub"];
        for (from, expected) in hub.iter().enumerate() {
            assert_eq!(places(&all[from..]).hub, Some(PathBuf::from(expected)));
            // An empty one is none.
            let emptied: Vec<_> =
                (0..5).map(|i| if i < from { (all[i].0, "") } else { all[i] }).collect();
            assert_eq!(places(&emptied).hub, Some(PathBuf::from(expected)));
        }
        assert_eq!(places(&[]).hub, None);
        assert_eq!(places(&[("USERPROFILE", "/u")]).hub, Some("/u/.cache/huggingface/hub".into()));
    }

    #[test]
    fn a_tilde_is_the_home() {
        let places = places(&[("HOME", "/home/u"), ("HF_HOME", "~/hf"), ("OLLAMA_MODELS", "~/o")]);
        assert_eq!(places.hub, Some("/home/u/hf/hub".into()));
        assert_eq!(places.ollama, [PathBuf::from("/home/u/o")]);
    }
}
