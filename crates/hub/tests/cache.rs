//! Caches as `huggingface_hub` and Ollama leave them, built in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};

use weightscope_hub::{Found, HubError, Name, Places};

const OLD: &str = "0123456789abcdef0123456789abcdef01234567";
const NEW: &str = "0123456fffffffffffffffffffffffffffffffff";

struct Cache(tempfile::TempDir);

impl Cache {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A file of a snapshot: a link to a blob, as on systems that have links.
    #[cfg(unix)]
    fn link(&self, model: &str, commit: &str, file: &str, etag: &str) {
        self.write(&format!("{model}/blobs/{etag}"), b"weights");
        let path = self.0.path().join(format!("{model}/snapshots/{commit}/{file}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let up = "../".repeat(2 + file.matches('/').count());
        std::os::unix::fs::symlink(format!("{up}blobs/{etag}"), path).unwrap();
    }

    fn find(&self, name: &str) -> Result<Found, HubError> {
        let places = Places {
            hub: Some(self.0.path().to_owned()),
            ollama: vec![self.0.path().join("absent"), self.0.path().join("ollama")],
        };
        places.find(&Name::parse(name).unwrap().unwrap())
    }

    /// The path within the cache, and the label.
    #[track_caller]
    fn found(&self, name: &str) -> (String, String) {
        let found = self.find(name).unwrap();
        let path = found.path.strip_prefix(self.0.path()).unwrap();
        (path.to_str().unwrap().replace('\\', "/"), found.label)
    }

    #[track_caller]
    fn says(&self, name: &str, code: &str, words: &[&str]) {
        let error = self.find(name).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        let text = error.to_string();
        assert!(text.starts_with(name.strip_prefix("hf:").unwrap_or(name)), "{text}");
        assert!(!text.contains('\n'));
        for words in words {
            assert!(text.contains(words), "{words:?} is not in {text:?}");
        }
    }
}

fn snapshot(commit: &str) -> String {
    format!("models--org--name/snapshots/{commit}")
}

#[cfg(unix)]
#[test]
fn links_to_blobs_by_branch_tag_and_commit() {
    let cache = Cache::new();
    cache.link("models--org--name", OLD, "model.safetensors", "aa");
    cache.link("models--org--name", NEW, "model.safetensors", "bb");
    cache.link("models--org--name", NEW, "1_Dense/model.safetensors", "cc");
    cache.write("models--org--name/refs/main", format!("{NEW}\n").as_bytes());
    cache.write("models--org--name/refs/v1.0", OLD.as_bytes());
    cache.write("models--org--name/refs/refs/pr/3", OLD.as_bytes());
    for (name, commit, label) in [
        ("org/name", NEW, "org/name (commit 0123456fffff)"),
        ("hf:org/name", NEW, "org/name (commit 0123456fffff)"),
        ("org/name@v1.0", OLD, "org/name@v1.0 (commit 0123456789ab)"),
        ("org/name@refs/pr/3", OLD, "org/name@refs/pr/3 (commit 0123456789ab)"),
        (&format!("org/name@{OLD}"), OLD, &format!("org/name@{OLD}")),
        ("org/name@01234567", OLD, "org/name@01234567 (commit 0123456789ab)"),
    ] {
        assert_eq!(cache.found(name), (snapshot(commit), label.to_owned()), "{name}");
    }
    let (path, label) = cache.found("org/name/1_Dense/model.safetensors");
    assert_eq!(path, format!("{}/1_Dense/model.safetensors", snapshot(NEW)));
    assert_eq!(label, "org/name/1_Dense/model.safetensors (commit 0123456fffff)");
    cache.says("org/name@0123456", "several-commits", &["0123456 is the beginning of 2 commits"]);
    cache.says(
        "org/name/model.gguf",
        "no-file",
        &["there is 1_Dense/model.safetensors, model.saf"],
    );
    cache.says("org/name@v2", "not-at-revision", &["v2; there is main, refs/pr/3, v1.0"]);
}

#[test]
fn plain_files_in_the_place_of_links() {
    let cache = Cache::new();
    cache.write(&format!("models--gpt2/snapshots/{OLD}/model.safetensors"), b"weights");
    cache.write("models--gpt2/refs/main", OLD.as_bytes());
    assert_eq!(cache.found("gpt2").0, format!("models--gpt2/snapshots/{OLD}"));
    assert_eq!(cache.find("gpt2").unwrap().notes, [""; 0]);
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let cache = Cache::new();
    let folder = cache.0.path().display().to_string();
    cache.says("org/name", "not-cached", &["no such model in the cache", &folder]);
    // A commit whose files were never fetched, or were deleted since.
    cache.write("models--org--name/refs/main", OLD.as_bytes());
    cache.says("hf:org/name", "not-at-revision", &["revision main; there is none"]);
    cache.write(&format!("{}/config.json", snapshot(NEW)), b"{}");
    cache.says("hf:org/name", "not-at-revision", &[&format!("revision main; there is {NEW}")]);
    cache.write("models--org--name/refs/main", b"../../../../etc");
    cache.says("org/name", "damaged-cache", &["refs", "main", "it holds no commit"]);
    let none = Places::default().find(&Name::parse("org/name").unwrap().unwrap());
    assert_eq!(none.unwrap_err().code(), "no-cache");
}

#[test]
fn unfinished_downloads_are_told() {
    let cache = Cache::new();
    cache.write("models--org--name/refs/main", OLD.as_bytes());
    cache.write(&format!("{}/config.json", snapshot(OLD)), b"{}");
    cache.write("models--org--name/blobs/aa.incomplete", b"12345");
    cache.write("models--org--name/blobs/bb.0f1e.incomplete", b"123");
    let words = ["no weights of commit 0123", "2 files of an unfinished download with 8 bytes"];
    cache.says("org/name", "unfinished", &words);
    cache.write(&format!("{}/model.safetensors", snapshot(OLD)), b"weights");
    let note = "org/name: the cache also has 2 files of an unfinished download, with 8 bytes";
    assert_eq!(cache.find("org/name").unwrap().notes, [note]);
    // What is there whole is no longer missing.
    cache.write("models--org--name/blobs/aa", b"1234567");
    cache.write("models--org--name/blobs/bb", b"1234567");
    assert_eq!(cache.find("org/name").unwrap().notes, [""; 0]);
}

#[test]
fn names_lead_nowhere_else() {
    let cache = Cache::new();
    cache.write(&format!("{}/model.safetensors", snapshot(OLD)), b"weights");
    cache.write("models--org--name/refs/main", OLD.as_bytes());
    for name in ["hf:org/name@../../x", "hf:org/name/../../refs/main", "hf:../models--org--name"] {
        assert!(Name::parse(name).is_err(), "{name}");
    }
}

#[test]
fn models_of_ollama() {
    let cache = Cache::new();
    let digest = "ab".repeat(32);
    let manifest = |media: &str, digest: &str| {
        format!(
            r#"{{"schemaVersion":2,"layers":[{{"mediaType":"application/vnd.ollama.image.license","digest":"sha256:00"}},{{"mediaType":"application/vnd.ollama.image.{media}","digest":"{digest}","size":7}}]}}"#
        )
    };
    let at = |name: &str| format!("ollama/manifests/registry.ollama.ai/{name}");
    let good = manifest("model", &format!("sha256:{digest}"));
    cache.write(&at("library/tiny/latest"), good.as_bytes());
    cache.says("ollama:tiny:latest", "damaged-cache", &["the blob that it names is not there"]);
    let blob = cache.write(&format!("ollama/blobs/sha256-{digest}"), b"GGUF...");
    let found = cache.find("ollama:tiny").unwrap();
    assert_eq!(
        (found.path, found.label.as_str()),
        (blob, "ollama:tiny:latest (sha256 abababababab)")
    );
    cache.write(&at("me/own/q4"), good.as_bytes());
    assert_eq!(cache.found("ollama:me/own:q4").1, "ollama:me/own:q4 (sha256 abababababab)");
    cache.says("ollama:tiny:8b", "not-in-ollama", &["Ollama has no such model in", "absent or"]);
    for (text, words) in [
        (manifest("adapter", "sha256:00"), "none of its layers is a GGUF model"),
        (manifest("model", "sha256:../../../etc/passwd"), "its model has no SHA-256"),
        ("{".to_owned(), "it is not JSON"),
        ("{}".to_owned(), "it has no layers"),
    ] {
        cache.write(&at("library/odd/latest"), text.as_bytes());
        cache.says("ollama:odd:latest", "damaged-cache", &[words]);
    }
}

#[test]
fn a_record_that_is_a_folder_is_none() {
    let cache = Cache::new();
    let model = Path::new("models--org--name");
    fs::create_dir_all(cache.0.path().join(model).join("refs/main")).unwrap();
    cache.says("org/name", "not-at-revision", &["there is none"]);
}
