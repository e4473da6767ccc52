//! What wrappers of training tools leave in names: compilers, data and fully sharded parallel, checkpointing, adapters.
//! It is taken off wherever it stands, and told.

use std::borrow::Cow;

/// Segments that are never a module's own name.
const ANYWHERE: &[&str] = &[
    // torch.compile
    "_orig_mod",
    // torch.distributed.fsdp, and what fairscale called the same
    "_fsdp_wrapped_module",
    "_fpw_module",
    // torch.distributed.algorithms._checkpoint
    "_checkpoint_wrapped_module",
    // Lightning Fabric
    "_forward_module",
    // PEFT: the layer that an adapter lies on
    "base_layer",
];
/// What DataParallel and DistributedDataParallel put before names; elsewhere it may be a module's own name.
const PARALLEL: &str = "module";
/// What PEFT puts before names.
const PEFT: &str = "base_model.model";
/// PEFT's copy of a module that is trained whole, which is followed by the adapter's name, and the module as it was.
const SAVED: &str = "modules_to_save";
const ORIGINAL: &str = "original_module";
/// Wrappers that are taken off at most, and length of names that are looked into: more only occur in names made to
/// annoy.
const MAX_WRAPPERS: usize = 16;
const MAX_NAME: usize = 1024;

/// A name without wrappers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bare<'a> {
    pub(crate) name: Cow<'a, str>,
    /// What was taken off, in order.
    pub(crate) wrappers: Vec<&'static str>,
    /// Whether it is a module as it was before a copy of it was trained.
    pub(crate) is_original: bool,
}

/// Takes the wrappers off a name.
pub(crate) fn bare(name: &str) -> Bare<'_> {
    let mut wrappers = Vec::new();
    let mut is_original = false;
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = name.split('.').peekable();
    let is_long = name.len() > MAX_NAME;
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if is_long || last || wrappers.len() >= MAX_WRAPPERS {
            kept.push(segment);
            continue;
        }
        let mut off = |what: &'static str| wrappers.push(what);
        if let Some(found) = ANYWHERE.iter().find(|word| **word == segment) {
            off(found);
        } else if segment == PARALLEL && kept.is_empty() {
            off(PARALLEL);
        } else if segment == "base_model" && kept.is_empty() && segments.peek() == Some(&"model") {
            segments.next();
            off(PEFT);
        } else if segment == ORIGINAL {
            is_original = true;
            off(ORIGINAL);
        } else if segment == SAVED {
            off(SAVED);
            // The name of the adapter, unless the parameter follows at once.
            if segments.clone().nth(1).is_some() {
                segments.next();
            }
        } else {
            kept.push(segment);
        }
    }
    let name = if wrappers.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(kept.join(".")) };
    Bare { name, wrappers, is_original }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_come_off_wherever_they_stand() {
        let check = |name: &str, expected: &str, wrappers: &[&str]| {
            let found = bare(name);
            assert_eq!((&*found.name, &found.wrappers[..]), (expected, wrappers), "{name}");
        };
        check("model.norm.weight", "model.norm.weight", &[]);
        check("module._orig_mod.a.weight", "a.weight", &["module", "_orig_mod"]);
        check("_orig_mod.module.a.weight", "a.weight", &["_orig_mod", "module"]);
        let fsdp =
            "_fsdp_wrapped_module.h.0._fsdp_wrapped_module._checkpoint_wrapped_module.x.weight";
        let wrappers =
            ["_fsdp_wrapped_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];
        check(fsdp, "h.0.x.weight", &wrappers);
        let peft = "base_model.model.model.layers.0.q_proj.base_layer.weight";
        check(peft, "model.layers.0.q_proj.weight", &["base_model.model", "base_layer"]);
        let saved = "base_model.model.lm_head.modules_to_save.default.weight";
        check(saved, "lm_head.weight", &["base_model.model", "modules_to_save"]);
        check("lm_head.modules_to_save.weight", "lm_head.weight", &["modules_to_save"]);
        assert!(bare("lm_head.original_module.weight").is_original);
        // A module of that name, and what is none.
        check("h.0.module.weight", "h.0.module.weight", &[]);
        check("a.base_layer", "a.base_layer", &[]);
        check("base_model.layers.0.weight", "base_model.layers.0.weight", &[]);
        check("", "", &[]);
        check("module", "module", &[]);
    }

    #[test]
    fn names_made_to_annoy_end() {
        let name = format!("{}weight", "module.".repeat(100));
        assert_eq!(bare(&name).wrappers.len(), MAX_WRAPPERS);
        let long = "_orig_mod.".repeat(1000);
        assert_eq!(bare(&long).name, long);
    }
}
