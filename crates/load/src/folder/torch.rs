//! Which files of torch.save in a folder are its model.

use std::collections::BTreeSet;
use std::path::Path;

use super::sizes;
use crate::LoadError;
use crate::blob::{Access, FileBlob};
use crate::files::{is_torch, is_torch_file};
use crate::shards;

/// Beginnings of names of what a training run keeps beside the model.
const TRAINING: &[&str] = &[
    "optimizer",
    "optim",
    "scheduler",
    "lr_scheduler",
    "rng_state",
    "random_states",
    "training_args",
    "trainer_state",
    "scaler",
];

/// What to do about slices of a tensor-parallel model.
const PARALLEL: &str = "name one of them to look at it alone, or join them first";
/// What to do about parameters that are scattered over the processes of a training run.
const SCATTERED: &str =
    "DeepSpeed's ZeRO-3 scatters parameters; join them with the zero_to_fp32.py beside them";

/// Whether a name is that of weights: of torch.save, and not of what a training run keeps beside them.
pub(crate) fn is_candidate(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_torch(Path::new(name))
        && !TRAINING.iter().any(|begin| lower.starts_with(begin))
        && !lower.ends_with("optim_states.pt")
}

/// `consolidated.00.pth` of Llama, `mp_rank_00_model_states.pt` of DeepSpeed: one piece of every tensor each.
fn is_slice(name: &str) -> bool {
    let digits = |text: Option<&str>| {
        text.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let between =
        |begin: &str, end: &str| name.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
    digits(between("consolidated.", ".pth")) || digits(between("mp_rank_", "_model_states.pt"))
}

fn is_scattered(name: &str) -> bool {
    name.contains("zero_pp_rank_") && name.ends_with("_model_states.pt")
}

/// Refuses several pieces of one model, which no single shape would be right for.
pub(crate) fn check_slices(path: &Path, names: &[&str]) -> Result<(), LoadError> {
    let several = |is_kind: fn(&str) -> bool, advice| {
        let files = names.iter().filter(|name| is_kind(name)).map(|name| (*name).to_owned());
        let files: Vec<String> = files.collect();
        match files.len() {
            0 | 1 => Ok(()),
            _ => Err(LoadError::Slices { path: path.to_owned(), files, advice }),
        }
    };
    several(is_scattered, SCATTERED)?;
    several(is_slice, PARALLEL)
}

fn has_weights(folder: &Path, name: &str) -> bool {
    // Other programs call their files .bin too. What cannot be read gets its message when it is opened.
    let is_vague = name.to_ascii_lowercase().ends_with(".bin");
    let file = FileBlob::open(&folder.join(name), Access::Positional, true);
    !is_vague || file.is_ok_and(|file| is_torch_file(&file))
}

/// The files of the one model in a folder; `None` when there is none.
pub(super) fn model<'a>(
    folder: &Path,
    names: &'a BTreeSet<String>,
) -> Result<Option<Vec<&'a str>>, LoadError> {
    let candidates: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| is_candidate(name)).collect();
    check_slices(folder, &candidates)?;
    if let Some(slice) = candidates.iter().find(|name| is_slice(name)) {
        return Ok(Some(vec![slice]));
    }
    let mut models: Vec<Vec<&str>> = Vec::new();
    for name in candidates {
        let is_known = models.iter().any(|parts| parts.contains(&name));
        if !is_known && has_weights(folder, name) {
            models.push(shards::set_of(name, names).unwrap_or_else(|| vec![name]));
        }
    }
    if models.len() <= 1 {
        return Ok(models.pop());
    }
    let files = sizes(folder, &models);
    Err(LoadError::SeveralModels { path: folder.to_owned(), format: "PyTorch", files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_weights() {
        for name in
            ["pytorch_model.bin", "model.pt", "epoch=3.ckpt", "consolidated.00.pth", "a.PTH"]
        {
            assert!(is_candidate(name), "{name}");
        }
        for name in [
            "optimizer.pt",
            "scheduler.pt",
            "rng_state_0.pth",
            "training_args.bin",
            "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
            "pytorch_model.bin.index.json",
            "model.safetensors",
        ] {
            assert!(!is_candidate(name), "{name}");
        }
        assert!(is_slice("consolidated.07.pth") && is_slice("mp_rank_00_model_states.pt"));
        assert!(!is_slice("consolidated.pth") && !is_slice("consolidated.00.safetensors"));
    }
}
