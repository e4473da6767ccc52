//! The families, one file each. Adding one is a file with a [`Family`] and a line in [`ALL`].

mod albert;
mod baichuan;
mod bart;
mod bert;
mod bloom;
mod chatglm;
mod clip;
mod clip_text;
mod cohere;
mod dbrx;
mod deberta;
mod deepseek;
mod deit;
mod dinov2;
mod dit;
mod electra;
mod falcon;
mod falcon_h1;
mod gguf;
mod glm;
mod glm4_moe;
mod gpt2;
mod gpt_neox;
mod gpt_oss;
mod granite_moe;
mod internlm2;
mod jamba;
mod llama;
mod llama4;
mod llava;
mod mamba;
mod mamba2;
mod megatron;
mod mixtral;
mod modernbert;
mod nanochat;
mod nemotron;
mod nemotron_h;
mod olmo;
mod opt;
mod phi;
mod phi3;
mod pixtral;
mod qwen1;
mod qwen3_next;
mod qwen_vl;
mod rwkv;
mod siglip;
mod stablelm;
mod starcoder2;
mod t5;
mod unet;
mod vae;
mod vit;
mod vit_timm;
mod wav2vec2;
mod whisper;

use crate::family::Family;

/// Every family. When two know equally many of a checkpoint's names, the earlier one is taken.
pub(crate) const ALL: &[&Family] = &[
    &gpt2::FAMILY,
    &qwen1::FAMILY,
    &llama::FAMILY,
    &phi3::FAMILY,
    &mixtral::FAMILY,
    &gpt_oss::FAMILY,
    &gpt_neox::FAMILY,
    &bert::FAMILY,
    &phi::FAMILY,
    &opt::FAMILY,
    &bloom::FAMILY,
    &falcon::FAMILY,
    &deepseek::FAMILY,
    &t5::FAMILY,
    &vit::FAMILY,
    &deit::FAMILY,
    &vit_timm::FAMILY,
    &clip::FAMILY,
    &clip_text::FAMILY,
    &whisper::FAMILY,
    &mamba::FAMILY,
    &mamba2::FAMILY,
    &megatron::FAMILY,
    &nanochat::FAMILY,
    &starcoder2::FAMILY,
    &stablelm::FAMILY,
    &nemotron::FAMILY,
    &olmo::FAMILY,
    &cohere::FAMILY,
    &glm::FAMILY,
    &internlm2::FAMILY,
    &baichuan::FAMILY,
    &chatglm::FAMILY,
    &siglip::FAMILY,
    &llava::FAMILY,
    &pixtral::FAMILY,
    &qwen_vl::FAMILY,
    &dinov2::FAMILY,
    &bart::FAMILY,
    &wav2vec2::FAMILY,
    &albert::FAMILY,
    &electra::FAMILY,
    &deberta::FAMILY,
    &modernbert::FAMILY,
    &unet::FAMILY,
    &vae::FAMILY,
    &dit::FAMILY,
    &glm4_moe::FAMILY,
    &granite_moe::FAMILY,
    &falcon_h1::FAMILY,
    &nemotron_h::FAMILY,
    &jamba::FAMILY,
    &qwen3_next::FAMILY,
    &llama4::FAMILY,
    &dbrx::FAMILY,
    &rwkv::FAMILY,
    &gguf::DECODER,
    &gguf::JOINED,
    &gguf::ENCODER,
    &gguf::TWO_STACKS,
    &gguf::EYES,
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tables_are_consistent() {
        let mut model_types = HashSet::new();
        for family in ALL {
            let mut tensors = HashSet::new();
            for row in family.rows() {
                for (end, _) in row.tensors() {
                    let name = format!("{}{end}", row.pattern);
                    assert!(tensors.insert(name.clone()), "{}: {name} twice", family.name);
                }
                // `{e}` is the second number of a name.
                assert!(!row.pattern.contains("{e}") || row.pattern.contains("{b}"));
            }
            for name in family.telltales {
                assert!(tensors.contains(*name), "{}: no row for {name}", family.name);
            }
            for name in family.rows().filter_map(|row| row.tied_to) {
                assert!(tensors.contains(name), "{}: no row for {name}", family.name);
            }
            for name in family.model_types.iter().filter(|_| !family.any_architecture) {
                assert!(model_types.insert(*name), "{name} in two families");
            }
            assert!(family.tied_by_default.iter().all(|name| family.model_types.contains(name)));
            assert!(family.prefixes.contains(&""), "{}: bare names", family.name);
        }
    }
}
