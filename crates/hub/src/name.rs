//! What a user may type instead of a path.

use std::fmt;
use std::path::{Component, Path};

use crate::HubError;

/// Longest id of a model, as the hub has it.
const MOST_ID: usize = 96;
/// Longest revision or file of a model.
const MOST_NAME: usize = 1000;

/// Endings that make a name that of a file.
const FILES: [&str; 9] = ["safetensors", "gguf", "bin", "pt", "pth", "ckpt", "json", "npz", "onnx"];

/// A model by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A model of the Hugging Face hub.
    Model {
        /// Which.
        id: ModelId,
        /// Whether `hf:` stands before it, so that no path can be meant.
        asked: bool,
    },
    /// A model of Ollama.
    Ollama(OllamaName),
}

impl Name {
    /// Reads what was typed. `None` is a text that can only be a path.
    ///
    /// # Errors
    /// [`HubError::Id`] for what begins with `hf:` or `ollama:` and is no name.
    pub fn parse(text: &str) -> Result<Option<Self>, HubError> {
        if let Some(id) = text.strip_prefix("hf:") {
            let id = ModelId::parse(id).map_err(|why| HubError::Id {
                text: text.to_owned(),
                why,
                form: "hf:org/name, hf:org/name@revision or hf:org/name/file",
            })?;
            return Ok(Some(Self::Model { id, asked: true }));
        }
        if let Some(name) = text.strip_prefix("ollama:") {
            let name = OllamaName::parse(name).map_err(|why| HubError::Id {
                text: text.to_owned(),
                why,
                form: "ollama:name or ollama:name:tag",
            })?;
            return Ok(Some(Self::Ollama(name)));
        }
        Ok(ModelId::parse(text)
            .ok()
            .filter(ModelId::is_plausible)
            .map(|id| Self::Model { id, asked: false }))
    }
}

/// A model of the Hugging Face hub, at a revision, or one file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    repo: String,
    file: Option<String>,
    revision: Option<String>,
}

impl ModelId {
    /// Reads `name`, `org/name` or `org/name/file`, each with `@revision` or without.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, revision) = match text.split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (text, None),
        };
        if let Some(revision) = revision {
            check_path(revision, "the revision")?;
        }
        let mut parts = path.splitn(3, '/');
        let (first, second, file) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let repo = second.map_or(first.to_owned(), |name| format!("{first}/{name}"));
        check_word(first)?;
        second.map_or(Ok(()), check_word)?;
        if repo.len() > MOST_ID {
            return Err("it is longer than 96 characters");
        }
        if let Some(file) = file {
            check_path(file, "the file")?;
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self { repo, file: owned(file), revision: owned(revision) })
    }

    /// `org/name`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The file of the model that is meant, by its path within; `None` is the whole model.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// A branch, a tag or a commit; `main` unless another was typed.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The same without the file.
    pub(crate) fn model(&self) -> Self {
        Self { file: None, ..self.clone() }
    }

    /// What the cache calls its folder: `models--org--name`.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.repo.replace('/', "--"))
    }

    /// What a report calls it: as typed, and the commit where that says something new.
    pub(crate) fn label(&self, commit: &str) -> String {
        if self.revision() == commit {
            return self.to_string();
        }
        format!("{self} (commit {})", commit.get(..12).unwrap_or(commit))
    }

    /// Whether somebody who did not write `hf:` may mean it: a missing file is a missing file.
    fn is_plausible(&self) -> bool {
        let is_file = |name: &str| {
            let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
            ending.is_some_and(|e| FILES.iter().any(|file| file.eq_ignore_ascii_case(e)))
        };
        match &self.file {
            Some(file) => is_file(file),
            None => !is_file(&self.repo),
        }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, "/{file}"))?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

/// A model of Ollama: `name`, `name:tag`, `user/name:tag` or `host/user/name:tag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OllamaName {
    host: String,
    namespace: String,
    name: String,
    tag: String,
}

impl OllamaName {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (text, "latest"),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (host, namespace, name) = match parts[..] {
            [name] => ("registry.ollama.ai", "library", name),
            [namespace, name] => ("registry.ollama.ai", namespace, name),
            [host, namespace, name] => (host, namespace, name),
            _ => return Err("it has more than three parts"),
        };
        for part in [host, namespace, name, tag] {
            check_word(part)?;
        }
        let [host, namespace, name, tag] = [host, namespace, name, tag].map(str::to_owned);
        Ok(Self { host, namespace, name, tag })
    }

    /// Folders and file of its manifest, below that of all manifests.
    pub(crate) fn manifest(&self) -> [&str; 4] {
        [&self.host, &self.namespace, &self.name, &self.tag]
    }
}

impl fmt::Display for OllamaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ollama:")?;
        if self.host != "registry.ollama.ai" {
            write!(f, "{}/", self.host)?;
        }
        if self.host != "registry.ollama.ai" || self.namespace != "library" {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// One part of an id. As the hub has it: letters, digits, `-`, `_` and `.`, neither beginning nor ending with `-` or
/// `.`, and without `--` and `..`, which cannot be told from separators in a cache
/// (`huggingface_hub.utils.validate_repo_id`).
fn check_word(word: &str) -> Result<(), &'static str> {
    let is_edge = |c: char| c == '-' || c == '.';
    if word.is_empty() {
        return Err("a part of it is empty");
    }
    if !word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err("names have letters, digits, -, _ and . alone");
    }
    if word.starts_with(is_edge) || word.ends_with(is_edge) {
        return Err("names neither begin nor end with - or .");
    }
    if word.contains("--") || word.contains("..") {
        return Err("names have neither -- nor ..");
    }
    if word.len() > MOST_ID {
        return Err("it is longer than 96 characters");
    }
    Ok(())
}

/// Whether a relative path with slashes leads down and nowhere else, on every system.
pub(crate) fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty()
        && path.len() <= MOST_NAME
        && !path.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'))
        && path.split('/').all(|part| !part.is_empty() && part != ".")
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn check_path(path: &str, what: &'static str) -> Result<(), &'static str> {
    match (is_inside(path), what) {
        (true, _) => Ok(()),
        (false, "the revision") => Err("what stands after @ is no revision"),
        (false, _) => Err("what stands after the second / is no file of a model"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> Option<(String, Option<String>, String, bool)> {
        match Name::parse(text).ok()?? {
            Name::Model { id, asked } => Some((
                id.repo().to_owned(),
                id.file().map(str::to_owned),
                id.revision().to_owned(),
                asked,
            )),
            Name::Ollama(_) => None,
        }
    }

    fn is(text: &str, repo: &str, file: Option<&str>, revision: &str, asked: bool) {
        let expected = (repo.to_owned(), file.map(str::to_owned), revision.to_owned(), asked);
        assert_eq!(model(text), Some(expected), "{text}");
    }

    #[test]
    fn ids_with_revisions_and_files() {
        is("org/name", "org/name", None, "main", false);
        is("gpt2", "gpt2", None, "main", false);
        is("hf:Qwen/Qwen2.5-0.5B@v1.0", "Qwen/Qwen2.5-0.5B", None, "v1.0", true);
        is("org/name@refs/pr/3", "org/name", None, "refs/pr/3", false);
        is("org/name/a/b-Q4_K_M.gguf@x", "org/name", Some("a/b-Q4_K_M.gguf"), "x", false);
        is("hf:org/model.bin", "org/model.bin", None, "main", true);
        is("hf:org/name/folder", "org/name", Some("folder"), "main", true);
    }

    #[test]
    fn paths_are_no_ids() {
        for text in [
            "",
            ".",
            "..",
            "/a/b",
            "./a",
            "../a",
            "a/",
            "a//b",
            "~/models",
            "C:\\models",
            "-a",
            "a b",
            "a--b/c",
            "org/model.safetensors",
            "model.gguf",
            "a/b/c",
            "a/b/../c.gguf",
            "a\nb",
            "name@",
            "name@../x",
            "name@/x",
            "name@a//b",
            "name@a\\b",
            "name@a:b",
            "größe",
        ] {
            assert_eq!(Name::parse(text).ok(), Some(None), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_without_a_name_says_what_is_wrong() {
        for (text, words) in [
            ("hf:", "a part of it is empty"),
            ("hf:../../etc", "neither begin nor end"),
            ("hf:org/a..b", "neither -- nor .."),
            ("hf:org/name@../../x", "after @"),
            ("hf:org/name/../x", "after the second /"),
            ("hf:org/name//etc/passwd", "after the second /"),
            (&format!("hf:{}", "a".repeat(97)), "longer than 96"),
            ("ollama:a/b/c/d", "more than three parts"),
            ("ollama:../x", "neither begin"),
        ] {
            let error = Name::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn names_of_ollama() {
        for (text, manifest, shown) in [
            ("llama3", ["registry.ollama.ai", "library", "llama3", "latest"], "llama3:latest"),
            ("qwen2.5:0.5b", ["registry.ollama.ai", "library", "qwen2.5", "0.5b"], "qwen2.5:0.5b"),
            ("me/own:q4", ["registry.ollama.ai", "me", "own", "q4"], "me/own:q4"),
            ("hf.co/org/name:Q4_K_M", ["hf.co", "org", "name", "Q4_K_M"], "hf.co/org/name:Q4_K_M"),
        ] {
            let name = OllamaName::parse(text).unwrap();
            assert_eq!(name.manifest(), manifest);
            assert_eq!(name.to_string(), format!("ollama:{shown}"));
        }
    }
}
