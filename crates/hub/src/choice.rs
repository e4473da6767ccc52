//! Which files of a repository a scan needs.

use std::collections::BTreeMap;

use crate::HubError;

/// A file of a repository, as the hub lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// With slashes, checked to lead down.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// What the cache calls it: the SHA-256 of large files, the id of a blob in git for others.
    pub(crate) etag: String,
    pub(crate) sha256: bool,
}

/// Files that say what weights are, wherever they lie.
const SIDE_FILES: [&str; 7] = [
    "config.json",
    "quantize_config.json",
    "quant_config.json",
    "hf_quant_config.json",
    "modules.json",
    "model_index.json",
    "adapter_config.json",
];

/// Names of models in safetensors and in PyTorch's format, the usual ones first.
const SAFETENSORS: [&str; 2] = ["model", "diffusion_pytorch_model"];
const PYTORCH: &str = "pytorch_model";
const VARIANTS: [&str; 6] = ["fp16", "bf16", "fp32", "fp8", "non_ema", "ema"];
/// What training leaves beside a model.
const NO_MODEL: [&str; 5] =
    ["training_args", "optimizer", "scheduler", "rng_state", "random_states"];

/// The files of a model in `folder` of a repository (empty for all of it), of one format in each folder: those in the
/// folder itself and in the parts that modules.json or model_index.json list; where it has none, those of all folders in
/// it.
pub(crate) fn of_model<'a>(
    id: &str,
    files: &'a [Listed],
    folder: &str,
) -> Result<Vec<&'a Listed>, HubError> {
    let mut folders: BTreeMap<&str, Vec<(&str, &Listed)>> = BTreeMap::new();
    for file in files {
        let Some(path) = below(&file.path, folder) else { continue };
        let (inner, name) = path.rsplit_once('/').unwrap_or(("", path));
        if inner.matches('/').count() == 0 && !inner.starts_with('.') && !name.starts_with('.') {
            folders.entry(inner).or_default().push((name, file));
        }
    }
    let own = folders.get("").map_or(&[][..], |files| files);
    let has = |name: &str| own.iter().any(|(other, _)| *other == name);
    let (has_parts, has_pipeline) = (has("modules.json"), has("model_index.json"));
    let own_weights = weights(id, own)?;
    let mut chosen = own_weights.clone();
    for (inner, files) in folders.iter().filter(|(inner, _)| !inner.is_empty()) {
        // Modules of sentence-transformers are called 1_Pooling, 2_Dense.
        let is_module = has_parts && inner.starts_with(|c: char| c.is_ascii_digit());
        if own_weights.is_empty() || is_module || has_pipeline {
            let found = weights(id, files)?;
            if !found.is_empty() {
                chosen.extend(side_files(files));
                chosen.extend(found);
            }
        }
    }
    if chosen.is_empty() {
        return Err(HubError::NoWeights { id: id.to_owned() });
    }
    chosen.extend(side_files(own));
    Ok(chosen)
}

/// One file of a repository, the other parts of its split, and what lies beside it.
pub(crate) fn of_file<'a>(files: &'a [Listed], path: &str) -> Option<Vec<&'a Listed>> {
    let file = files.iter().find(|file| file.path == path)?;
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let beside: Vec<(&str, &Listed)> = files
        .iter()
        .filter_map(|file| Some((below(&file.path, folder)?, file)))
        .filter(|(name, _)| !name.contains('/'))
        .collect();
    let mut chosen = side_files(&beside);
    match split(name) {
        Some(set) => {
            chosen.extend(
                beside.iter().filter(|(name, _)| split(name) == Some(set)).map(|(_, f)| *f),
            );
        }
        None => chosen.push(file),
    }
    Some(chosen)
}

/// The path below a folder.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}

fn side_files<'a>(files: &[(&str, &'a Listed)]) -> Vec<&'a Listed> {
    let is_side = |name: &str| SIDE_FILES.contains(&name);
    files.iter().filter(|(name, _)| is_side(name)).map(|(_, file)| *file).collect()
}

/// The weights among the files of one folder, with their index: the best format that is there.
fn weights<'a>(id: &str, files: &[(&str, &'a Listed)]) -> Result<Vec<&'a Listed>, HubError> {
    let with = |ending: &str| -> Vec<(&str, &'a Listed)> {
        let has = |name: &str| name.strip_suffix(ending).is_some_and(|stem| stem.ends_with('.'));
        files.iter().filter(|(name, _)| has(name)).copied().collect()
    };
    let safetensors = with("safetensors");
    for stem in SAFETENSORS {
        let found = by_name(files, stem, "safetensors");
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let plain: Vec<(&str, &Listed)> =
        safetensors.iter().filter(|(name, _)| !is_variant(name, &safetensors)).copied().collect();
    let is_beside = |name: &str| name.starts_with("consolidated") || name.starts_with("adapter");
    let alone = plain.iter().all(|(name, _)| is_beside(name));
    let found: Vec<&Listed> =
        plain.iter().filter(|(name, _)| alone || !is_beside(name)).map(|(_, f)| *f).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let found = by_name(files, PYTORCH, "bin");
    if !found.is_empty() {
        return Ok(found);
    }
    let gguf = with("gguf");
    let is_other = |name: &str| name.contains("mmproj") || name.contains("imatrix");
    if !gguf.is_empty() {
        return one_model(id, gguf.into_iter().filter(|(name, _)| !is_other(name)).collect());
    }
    let torch: Vec<(&str, &Listed)> =
        ["bin", "pth", "pt", "ckpt"].into_iter().flat_map(with).collect();
    let is_model = |name: &str| !NO_MODEL.iter().any(|other| name.starts_with(other));
    one_model(id, torch.into_iter().filter(|(name, _)| is_model(name)).collect())
}

/// A model by its usual name: the one file, or its shards and their index.
fn by_name<'a>(files: &[(&str, &'a Listed)], stem: &str, ending: &str) -> Vec<&'a Listed> {
    let single = format!("{stem}.{ending}");
    if let Some((_, file)) = files.iter().find(|(name, _)| *name == single) {
        return vec![*file];
    }
    let index = format!("{stem}.{ending}.index.json");
    let is_shard = |name: &str| {
        split(name)
            .is_some_and(|(first, _, last)| first == stem && last.strip_prefix('.') == Some(ending))
    };
    let shards: Vec<&Listed> =
        files.iter().filter(|(name, _)| is_shard(name)).map(|(_, file)| *file).collect();
    let index = files.iter().filter(|(name, _)| *name == index && !shards.is_empty());
    shards.iter().copied().chain(index.map(|(_, file)| *file)).collect()
}

/// Refuses to choose between models of one format.
fn one_model<'a>(id: &str, files: Vec<(&str, &'a Listed)>) -> Result<Vec<&'a Listed>, HubError> {
    let mut models: BTreeMap<String, Vec<&'a Listed>> = BTreeMap::new();
    for (name, file) in files {
        let model =
            split(name).map_or(name.to_owned(), |(stem, of, last)| format!("{stem}-{of}{last}"));
        models.entry(model).or_default().push(file);
    }
    if models.len() > 1 {
        let first = |parts: &Vec<&Listed>| {
            let bytes = parts.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
            parts.first().map(|file| (file.path.clone(), bytes))
        };
        let files = models.values().filter_map(first).collect();
        return Err(HubError::SeveralModels { id: id.to_owned(), files });
    }
    Ok(models.into_values().next().unwrap_or_default())
}

/// `name-00001-of-00003.ending` as what all its parts have in common: `name`, `00003`, `.ending`.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (before, after) = name.rsplit_once("-of-")?;
    let (stem, number) = before.rsplit_once('-')?;
    let (of, ending) = after.split_at_checked(after.find('.')?)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(number) && is_number(of)).then_some((stem, of, ending))
}

/// Whether another file is the same weights in the usual type.
fn is_variant(name: &str, all: &[(&str, &Listed)]) -> bool {
    VARIANTS.iter().any(|variant| {
        name.split_once(&format!(".{variant}")).is_some_and(|(before, after)| {
            let other = format!("{before}{after}");
            all.iter().any(|(name, _)| *name == other)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<Listed> {
        let listed = |name: &&str| Listed {
            path: (*name).to_owned(),
            bytes: 7,
            etag: "00".repeat(20),
            sha256: false,
        };
        names.iter().map(listed).collect()
    }

    fn names(chosen: &[&Listed]) -> Vec<String> {
        let mut names: Vec<String> = chosen.iter().map(|file| file.path.clone()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn check(names_of_repo: &[&str], expected: &[&str]) {
        let files = list(names_of_repo);
        assert_eq!(names(&of_model("id", &files, "").unwrap()), expected);
    }

    #[test]
    fn one_format_and_what_describes_it() {
        check(
            &[
                "README.md",
                "config.json",
                "tokenizer.json",
                "model.safetensors",
                "model.fp16.safetensors",
                "pytorch_model.bin",
                "onnx/model.onnx",
                "onnx/model.safetensors",
                "original/consolidated.00.pth",
                "modeling_x.py",
                "training_args.bin",
            ],
            &["config.json", "model.safetensors"],
        );
        check(
            &[
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "consolidated.safetensors",
                "model.fp16-00001-of-00002.safetensors",
            ],
            &[
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
        );
        check(
            &["pytorch_model.bin", "tf_model.h5", "optimizer.pt", "config.json", "x.gguf"],
            &["config.json", "pytorch_model.bin"],
        );
        check(
            &["own.safetensors", "own.fp16.safetensors", "adapter_config.json"],
            &["adapter_config.json", "own.safetensors"],
        );
        check(&["a-Q4.gguf", "mmproj-a.gguf"], &["a-Q4.gguf"]);
        check(&["a.pth", "optimizer.pt"], &["a.pth"]);
        check(
            &["adapter_model.safetensors", "adapter_config.json"],
            &["adapter_config.json", "adapter_model.safetensors"],
        );
    }

    #[test]
    fn parts_of_a_model() {
        check(
            &[
                "modules.json",
                "model.safetensors",
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "onnx/model.safetensors",
            ],
            &[
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "model.safetensors",
                "modules.json",
            ],
        );
        check(
            &[
                "model_index.json",
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
                "unet/diffusion_pytorch_model.fp16.safetensors",
                "vae/config.json",
                "vae/model.bin",
                "scheduler/scheduler_config.json",
                "a/b/model.safetensors",
            ],
            &[
                "model_index.json",
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
                "vae/config.json",
                "vae/model.bin",
            ],
        );
    }

    #[test]
    fn several_models_are_named_and_none_is_chosen() {
        let files = list(&["x-Q4.gguf", "x-Q8-00001-of-00002.gguf", "x-Q8-00002-of-00002.gguf"]);
        let error = of_model("org/name", &files, "").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("x-Q4.gguf (7 bytes), x-Q8-00001-of-00002.gguf (14 bytes)"),
            "{text}"
        );
        assert!(text.contains("hf:org/name/x-Q4.gguf"), "{text}");
        let one = of_file(&files, "x-Q8-00001-of-00002.gguf").unwrap();
        assert_eq!(names(&one), ["x-Q8-00001-of-00002.gguf", "x-Q8-00002-of-00002.gguf"]);
        assert_eq!(of_file(&files, "x.gguf"), None);
        let none = of_model("org/name", &list(&["README.md", "tf_model.h5"]), "").unwrap_err();
        assert_eq!(none.code(), "no-weights");
    }

    #[test]
    fn a_folder_of_a_repository() {
        let files =
            list(&["model.safetensors", "sub/model.safetensors", "sub/config.json", "subs/x.gguf"]);
        let chosen = of_model("id", &files, "sub").unwrap();
        assert_eq!(names(&chosen), ["sub/config.json", "sub/model.safetensors"]);
    }
}
