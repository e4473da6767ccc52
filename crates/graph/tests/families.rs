//! Golden listings: names, types, shapes and config.json in, weights in order and the summary out.
//!
//! `UPDATE_GOLDEN=1 cargo test -p weightscope-graph` renews the expected files.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

mod common;

use std::path::{Path, PathBuf};

use weightscope_core::{Metadata, ModelGraph, Orientation, TensorEntry};

fn path(file: String) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(file)
}

/// The tensors and config.json of a case.
fn case(name: &str) -> (Vec<TensorEntry>, Metadata) {
    let mut entries =
        common::listing(&std::fs::read_to_string(path(format!("{name}.txt"))).unwrap());
    let metadata = std::fs::read_to_string(path(format!("{name}.json")))
        .map_or_else(|_| Metadata::default(), |text| common::config(&text));
    // What the loader says of every matrix of a GGUF.
    if name.starts_with("gguf_") {
        for entry in entries.iter_mut().filter(|entry| entry.shape.len() > 1) {
            entry.orientation = Some(Orientation::OutIn);
        }
    }
    (entries, metadata)
}

fn check(name: &str, end: &str, walk: fn(&[TensorEntry], &Metadata) -> ModelGraph) {
    let (entries, metadata) = case(name);
    let graph = walk(&entries, &metadata);
    let text = common::describe(&graph);
    let expected = path(format!("{name}{end}"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&expected, text).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(text, wanted, "{} differs; UPDATE_GOLDEN=1 renews it", expected.display());

    // The order of the file does not matter.
    let reversed: Vec<_> = entries.iter().rev().cloned().collect();
    assert_eq!(common::describe(&walk(&reversed, &metadata)), wanted, "{name} reversed");
}

macro_rules! golden {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name), ".expected", common::plain); })*
    };
}

golden! {
    gpt2 gpt2_bare gpt2_square nanogpt
    smollm2 llama_untied llama_bare qwen2 qwen3 gemma2 gemma3 quantised adapter
    phi3 mixtral qwen_moe gpt_oss
    qwen1 gpt_neox
    minilm bert_pretraining roberta mpnet distilbert
    phi opt opt_350m bloom falcon_7b falcon_40b falcon_rw
    t5 t5_encoder mt5 whisper
    vit deit vit_timm clip clip_vision clip_text clip_text_bare
    qwen2_moe qwen3_moe deepseek_v3 deepseek_v2_lite
    granite olmo olmo2 olmoe cohere cohere_norms cohere2 stablelm starcoder2 glm glm4 nemotron seed_oss exaone4 ernie4_5
    hunyuan internlm2 baichuan chatglm
    mamba mamba2 nanochat nanochat_hf
    words
    bart mbart marian pegasus m2m_100 wav2vec2 wav2vec2_layer hubert wavlm albert electra deberta_v2 modernbert
    siglip siglip_vision dinov2 llava paligemma gemma3_vl idefics3 mistral3 qwen2_vl qwen2_5_vl qwen3_vl
    unet unet_xl vae dit pixart sd3 flux
    granitemoe granitemoehybrid falcon_h1 nemotron_h jamba qwen3_next llama4_text glm4_moe dbrx rwkv
    gguf_smollm2 gguf_qwen2moe gguf_mixtral gguf_deepseek2 gguf_bert gguf_gpt2 gguf_bloom gguf_gptneox gguf_phi3
    gguf_mamba gguf_gemma2 gguf_t5 gguf_mmproj gguf_adapter
}

macro_rules! golden_cut {
    ($($test:ident $name:ident)*) => {
        $(#[test] fn $test() { check(stringify!($name), ".split.expected", common::cut); })*
    };
}

golden_cut! {
    gpt2_split gpt2
    phi3_split phi3
    dbrx_split dbrx
    granitemoehybrid_split granitemoehybrid
    unet_split unet
    modernbert_split modernbert
    qwen2_vl_split qwen2_vl
    siglip_split siglip
    glm_split glm
    internlm2_split internlm2
    baichuan_split baichuan
    chatglm_split chatglm
    gpt_neox_split gpt_neox
    bloom_split bloom
    falcon_7b_split falcon_7b
    falcon_40b_split falcon_40b
    falcon_rw_split falcon_rw
    vit_timm_split vit_timm
    gguf_bloom_split gguf_bloom
    gguf_gptneox_split gguf_gptneox
    gguf_phi3_split gguf_phi3
}

/// Takes every trained tensor away in turn, and makes each larger in turn: the checks are silent before and
/// notice it after, but for what `optional` and `any_size` say by words of the names, or by how they begin (`^`).
fn check_notices(name: &str, optional: &[&str], any_size: &[&str]) {
    let (entries, metadata) = case(name);
    let complaints = |entries: &[TensorEntry]| {
        let summary = common::plain(entries, &metadata).summary;
        [summary.missing.len(), summary.misshapen.len(), summary.unexpected.len()]
    };
    assert_eq!(complaints(&entries), [0; 3], "{name}");
    let graph = common::plain(&entries, &metadata);
    for (index, entry) in entries.iter().enumerate() {
        // Of stacked experts there are several.
        let mut weights = graph.weights.iter().filter(|w| w.source_tensor == entry.name);
        if weights.any(|weight| !weight.part.is_parameter()) {
            continue;
        }
        let says = |name: &str, word: &str| match word.strip_prefix('^') {
            Some(start) => name.starts_with(start),
            None => name.contains(word),
        };
        let told = |words: &[&str]| words.iter().any(|word| says(&entry.name, word));
        let mut others = entries.clone();
        others.remove(index);
        let [missing, ..] = complaints(&others);
        assert_eq!(missing == 0, told(optional), "{name} without {}", entry.name);
        for axis in 0..entry.shape.len() {
            let mut others = entries.clone();
            let mut shape = entry.shape.clone();
            shape[axis] += 1;
            others[index] = common::typed(&entry.name, &entry.dtype_name, &shape);
            let [_, misshapen, _] = complaints(&others);
            let word = format!("{}@{axis}", entry.name);
            let unsized_here = any_size.iter().any(|any| says(&word, any));
            assert_eq!(misshapen == 0, unsized_here, "{name} with a larger {word}");
        }
    }
}

macro_rules! notices {
    ($($test:ident $name:ident [$($optional:literal)*] [$($any_size:literal)*])*) => {
        $(#[test] fn $test() {
            check_notices(stringify!($name), &[$($optional),*], &[$($any_size),*]);
        })*
    };
}

notices! {
    phi_notices phi [] []
    phi3_notices phi3 [] []
    opt_notices opt [] []
    opt_350m_notices opt_350m ["project_"] []
    bloom_notices bloom [] []
    falcon_7b_notices falcon_7b [] []
    falcon_40b_notices falcon_40b [] []
    falcon_rw_notices falcon_rw [] []
    t5_notices t5 [] []
    t5_encoder_notices t5_encoder [] []
    mt5_notices mt5 [] []
    whisper_notices whisper [] []
    vit_notices vit ["classifier"] ["classifier.weight@0" "classifier.bias"]
    deit_notices deit ["classifier"] ["classifier.weight@0" "classifier.bias"]
    clip_notices clip [] []
    clip_vision_notices clip_vision [] []
    clip_text_notices clip_text [] []
    qwen2_moe_notices qwen2_moe [] []
    qwen3_moe_notices qwen3_moe ["mlp.gate" "mlp.up_proj" "mlp.down_proj"] []
    deepseek_v3_notices deepseek_v3 ["layers.2."] []
    deepseek_v2_lite_notices deepseek_v2_lite [] []
    mamba_notices mamba [] []
    mamba2_notices mamba2 [] ["lm_head.weight@0"]
    nanochat_notices nanochat ["ve_gate" "value_embeds"] ["ve_gate" "value_embeds.1.weight@0" "value_embeds.3.weight@0" "wte.weight@0" "lm_head.weight@0"]
    gguf_smollm2_notices gguf_smollm2 [] []
    gguf_qwen2moe_notices gguf_qwen2moe [] ["gate_inp_shexp" "gate_shexp.weight@0" "up_shexp.weight@0" "down_shexp.weight@1"]
    gguf_mixtral_notices gguf_mixtral [] []
    gguf_bert_notices gguf_bert ["token_types"] []
    gguf_gpt2_notices gguf_gpt2 [] []
    gguf_bloom_notices gguf_bloom [] []
    gguf_gptneox_notices gguf_gptneox [] []
    gguf_phi3_notices gguf_phi3 [] []
    gguf_gemma2_notices gguf_gemma2 [] []
    gguf_t5_notices gguf_t5 ["rel_b"] ["rel_b"]
    gguf_mamba_notices gguf_mamba [] ["ssm_in.weight@0" "conv1d.weight@0" "conv1d.bias" "ssm_dt.weight@0" "ssm_dt.bias" "ssm_d@"]
    granite_notices granite [] []
    olmo_notices olmo [] []
    olmo2_notices olmo2 [] []
    olmoe_notices olmoe [] []
    cohere_notices cohere [] []
    cohere_norms_notices cohere_norms [] []
    cohere2_notices cohere2 [] []
    stablelm_notices stablelm [] []
    starcoder2_notices starcoder2 [] []
    glm_notices glm [] []
    glm4_notices glm4 [] []
    nemotron_notices nemotron [] []
    seed_oss_notices seed_oss [] []
    exaone4_notices exaone4 [] []
    ernie4_5_notices ernie4_5 [] []
    hunyuan_notices hunyuan [] []
    internlm2_notices internlm2 [] []
    baichuan_notices baichuan [] []
    chatglm_notices chatglm [] []
    siglip_vision_notices siglip_vision [] []
    dinov2_notices dinov2 ["mask_token"] ["position_embeddings@1"]
    siglip_notices siglip [] ["logit_"]
    llava_notices llava ["lm_head"] ["position_embedding.weight@0" "linear_1.weight@1"]
    paligemma_notices paligemma [] ["linear.weight@1" "position_embedding.weight@0"]
    gemma3_vl_notices gemma3_vl [] ["position_embedding.weight@0" "projection_weight@0" "soft_emb_norm.weight@0"]
    idefics3_notices idefics3 [] ["position_embedding.weight@0" "modality_projection.proj.weight@1"]
    mistral3_notices mistral3 ["lm_head"] ["projector.norm" "merging_layer" "linear_1.weight@1"]
    qwen2_vl_notices qwen2_vl ["lm_head"] ["patch_embed.proj.weight@1" "merger.mlp.2.weight@0" "merger.mlp.2.bias"]
    qwen2_5_vl_notices qwen2_5_vl ["lm_head"] ["patch_embed.proj.weight@1" "merger.mlp.2.weight@0" "merger.mlp.2.bias"]
    qwen3_vl_notices qwen3_vl ["deepstack"] ["patch_embed.proj.weight@1"]
    bart_notices bart [] ["embed_positions.weight@0"]
    mbart_notices mbart [] ["embed_positions.weight@0"]
    marian_notices marian [] []
    m2m_100_notices m2m_100 [] []
    albert_notices albert ["pooler" "predictions"] []
    electra_notices electra ["embeddings_project" "discriminator"] []
    modernbert_notices modernbert [] []
    wav2vec2_layer_notices wav2vec2_layer ["masked_spec" "original"] ["conv_layers" "feature_projection.layer_norm" "projection.weight@1" "original" "lm_head.weight@1"]
    hubert_notices hubert ["masked_spec" "original" "conv_layers.1." "conv_layers.0.layer_norm"] ["conv_layers" "feature_projection.layer_norm" "projection.weight@1" "original"]
    wavlm_notices wavlm ["masked_spec" "original" "conv_layers.1." "conv_layers.0.layer_norm"] ["conv_layers" "feature_projection.layer_norm" "projection.weight@1" "original"]
    wav2vec2_notices wav2vec2 ["masked_spec" "original" "conv_layers.1." "conv_layers.0.layer_norm"] ["conv_layers" "feature_projection.layer_norm" "projection.weight@1" "original" "lm_head.weight@1"]
    pegasus_notices pegasus ["embed_positions"] ["embed_positions.weight@0"]
    unet_notices unet ["conv_shortcut"] ["."]
    vae_notices vae ["conv_shortcut"] ["."]
    deberta_v2_notices deberta_v2 ["cls."] ["cls.predictions.transform.dense" "transform.LayerNorm" "rel_embeddings.weight@0" "word_embeddings.weight@1"]
    dit_notices dit [] ["norm1.linear.weight@0" "norm1.linear.bias" "proj_out_2.weight@0" "proj_out_2.bias"]
    pixart_notices pixart [] ["attn2.to_k.weight@1" "attn2.to_v.weight@1" "proj_out.weight@0" "proj_out.bias"]
    sd3_notices sd3 ["attn2"] ["norm1.linear.weight@0" "norm1.linear.bias" "norm1_context.linear.weight@0" "norm1_context.linear.bias" "pos_embed.pos_embed@1" "attn2.to_k.weight@1" "attn2.to_v.weight@1" "^proj_out"]
    flux_notices flux ["transformer_blocks.1.attn.to_add_out" "transformer_blocks.1.ff_context"] ["norm1.linear.weight@0" "norm1.linear.bias" "norm1_context.linear.weight@0" "norm1_context.linear.bias" "^proj_out.weight@0" "^proj_out.bias"]
    granitemoe_notices granitemoe [] []
    granitemoehybrid_notices granitemoehybrid [] []
    falcon_h1_notices falcon_h1 [] []
    nemotron_h_notices nemotron_h [] []
    jamba_notices jamba [] []
    qwen3_next_notices qwen3_next [] []
    llama4_text_notices llama4_text [] []
    glm4_moe_notices glm4_moe [] []
    dbrx_notices dbrx [] []
    rwkv_notices rwkv [] []
    nanochat_hf_notices nanochat_hf [] ["lm_head.weight@0"]
}
