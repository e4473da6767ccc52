//! Ollama's models: `manifests/<host>/<namespace>/<name>/<tag>` is JSON whose layer of one media type names the blob
//! with the GGUF, `blobs/sha256-<digest>`.
//!
//! Source: <https://github.com/ollama/ollama>, `manifest/manifest.go` and `manifest/paths.go`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Found, HubError, OllamaName, cache};

/// The layer that is the model.
const MODEL: &str = "application/vnd.ollama.image.model";

pub(crate) fn find(name: &OllamaName, folders: &[PathBuf]) -> Result<Found, HubError> {
    let manifest = |folder: &PathBuf| {
        name.manifest().iter().fold(folder.join("manifests"), |path, part| path.join(part))
    };
    let Some(folder) = folders.iter().find(|folder| manifest(folder).is_file()) else {
        return Err(HubError::NotInOllama { name: name.to_string(), folders: folders.to_vec() });
    };
    let path = manifest(folder);
    let bytes = cache::read_record(&path).map_err(|cause| HubError::Unreadable {
        id: name.to_string(),
        path: path.clone(),
        cause,
    })?;
    let damaged = |why| HubError::Damaged { id: name.to_string(), path: path.clone(), why };
    let manifest: Value = serde_json::from_slice(&bytes).map_err(|_| damaged("it is not JSON"))?;
    let layers = manifest
        .get("layers")
        .and_then(Value::as_array)
        .ok_or_else(|| damaged("it has no layers"))?;
    let is_model = |layer: &&Value| layer.get("mediaType").and_then(Value::as_str) == Some(MODEL);
    let mut models = layers.iter().filter(is_model);
    let model = models.next().ok_or_else(|| damaged("none of its layers is a GGUF model"))?;
    if models.next().is_some() {
        return Err(damaged("several of its layers are models"));
    }
    let digest = model.get("digest").and_then(Value::as_str).and_then(digest);
    let digest = digest.ok_or_else(|| damaged("its model has no SHA-256"))?;
    let blob = Path::new("blobs").join(format!("sha256-{digest}"));
    let path = folder.join(&blob);
    if !path.exists() {
        return Err(damaged("the blob that it names is not there"));
    }
    let label = format!("{name} (sha256 {})", digest.get(..12).unwrap_or(digest));
    Ok(Found { path, label, notes: Vec::new() })
}

/// The digits of `sha256:<digits>`.
fn digest(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:")?;
    (digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}
