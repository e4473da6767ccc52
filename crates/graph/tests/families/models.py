"""Tiny models by transformers and diffusers: names and shapes as they are saved, and config.json beside them.

    python models.py [NAME ...]

writes NAME.txt and NAME.json next to this file, for all models or for those named. Made with torch, transformers 4.57.1
(5 saves some of them otherwise) and diffusers 0.35.1. What is not in its list was written down from published files.
"""

import json
import pathlib
import struct
import sys
import tempfile

import transformers

HERE = pathlib.Path(__file__).parent
TEXT = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=20,
    pad_token_id=0,
)
SEEING = dict(
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=3,
    image_size=32,
    patch_size=8,
)
# What says nothing of the tensors.
NOISE = {"transformers_version", "_diffusers_version", "id2label", "label2id", "torch_dtype", "dtype"}


def of(model, **sizes):
    """A model of transformers: its class, and what its configuration has."""

    def build():
        cls = getattr(transformers, model)
        return cls(cls.config_class(**sizes))

    return build


def llama_like(model, **sizes):
    return of(model, **{**TEXT, **sizes})


def diffusers_model(model, **sizes):
    def build():
        import diffusers

        return getattr(diffusers, model)(**sizes)

    return build


MODELS = {
    # Llama's names.
    "granite": llama_like("GraniteForCausalLM", tie_word_embeddings=True),
    "olmo": llama_like("OlmoForCausalLM"),
    "olmo2": llama_like("Olmo2ForCausalLM"),
    "olmoe": llama_like("OlmoeForCausalLM", num_experts=4),
    "cohere": llama_like("CohereForCausalLM"),
    "cohere_norms": llama_like("CohereForCausalLM", use_qk_norm=True),
    "cohere2": llama_like("Cohere2ForCausalLM"),
    "stablelm": llama_like("StableLmForCausalLM", use_qkv_bias=True),
    "starcoder2": llama_like("Starcoder2ForCausalLM"),
    "glm": llama_like("GlmForCausalLM", head_dim=8, attention_bias=True),
    "glm4": llama_like("Glm4ForCausalLM", head_dim=8),
    "glm4_moe": llama_like("Glm4MoeForCausalLM", num_hidden_layers=3, head_dim=8, n_routed_experts=4, moe_intermediate_size=20, use_qk_norm=True, num_nextn_predict_layers=0),
    "nemotron": llama_like("NemotronForCausalLM"),
    "seed_oss": llama_like("SeedOssForCausalLM", head_dim=16),
    "exaone4": llama_like("Exaone4ForCausalLM"),
    "ernie4_5": llama_like("Ernie4_5ForCausalLM", use_bias=False),
    "hunyuan": llama_like("HunYuanDenseV1ForCausalLM", head_dim=8),
    "granitemoe": llama_like("GraniteMoeForCausalLM", num_local_experts=4),
    "granitemoehybrid": llama_like("GraniteMoeHybridForCausalLM", num_local_experts=4, shared_intermediate_size=24, layer_types=["mamba", "attention"], mamba_n_heads=8, mamba_d_head=8, mamba_d_state=6, mamba_n_groups=2, mamba_expand=2),
    "jamba": llama_like("JambaForCausalLM", num_hidden_layers=4, num_experts=4, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1, mamba_d_state=6, mamba_dt_rank=5, use_mamba_kernels=False),
    "falcon_h1": llama_like("FalconH1ForCausalLM", head_dim=8, mamba_d_ssm=64, mamba_n_heads=8, mamba_d_head=8, mamba_d_state=6, mamba_n_groups=1),
    "llama4_text": llama_like("Llama4ForCausalLM", head_dim=8, intermediate_size_mlp=56, num_local_experts=4, num_hidden_layers=2, interleave_moe_layer_step=2),
    "qwen3_next": llama_like("Qwen3NextForCausalLM", head_dim=8, num_experts=4, moe_intermediate_size=20, shared_expert_intermediate_size=28, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=6, linear_value_head_dim=10, layer_types=["linear_attention", "full_attention"]),
    "dbrx": of("DbrxForCausalLM", d_model=32, n_heads=4, n_layers=2, max_seq_len=20, vocab_size=96, attn_config=dict(kv_n_heads=2, clip_qkv=8), ffn_config=dict(ffn_hidden_size=48, moe_num_experts=4, moe_top_k=2)),
    "rwkv": of("RwkvForCausalLM", vocab_size=96, context_length=20, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32),
    # Encoders.
    "albert": of("AlbertForMaskedLM", vocab_size=96, embedding_size=12, hidden_size=32, num_hidden_layers=6, num_attention_heads=4, intermediate_size=48, max_position_embeddings=20),
    "modernbert": of("ModernBertForMaskedLM", vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=20, pad_token_id=0),
    "electra": of("ElectraForPreTraining", vocab_size=96, embedding_size=12, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=20),
    "deberta_v2": of("DebertaV2ForMaskedLM", vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=20, relative_attention=True, position_buckets=6, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0),
    "bart": of("BartForConditionalGeneration", vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=3, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=40, max_position_embeddings=20),
    "mbart": of("MBartForConditionalGeneration", vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=20),
    "marian": of("MarianMTModel", vocab_size=96, decoder_vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=20, pad_token_id=0),
    "pegasus": of("PegasusForConditionalGeneration", vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=20),
    "m2m_100": of("M2M100ForConditionalGeneration", vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=20),
    # Sound.
    "wav2vec2": of("Wav2Vec2ForCTC", vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, conv_dim=[12, 12], conv_kernel=[10, 3], conv_stride=[5, 2], num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, feat_extract_norm="group"),
    "wav2vec2_layer": of("Wav2Vec2ForCTC", vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, conv_dim=[12, 12], conv_kernel=[10, 3], conv_stride=[5, 2], conv_bias=True, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, feat_extract_norm="layer", do_stable_layer_norm=True),
    "hubert": of("HubertModel", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, conv_dim=[12, 12], conv_kernel=[10, 3], conv_stride=[5, 2], num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4),
    "wavlm": of("WavLMModel", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, conv_dim=[12, 12], conv_kernel=[10, 3], conv_stride=[5, 2], num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, num_buckets=6),
    # Images.
    "siglip": of("SiglipModel", text_config=dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=20, projection_size=24), vision_config=SEEING),
    "siglip_vision": of("SiglipVisionModel", **SEEING),
    "dinov2": of("Dinov2Model", **{**{k: v for k, v in SEEING.items() if k != "intermediate_size"}, "mlp_ratio": 2}),
    "llava": of("LlavaForConditionalGeneration", text_config=dict(model_type="llama", **TEXT), vision_config=dict(model_type="clip_vision_model", **SEEING), image_token_index=95),
    "paligemma": of("PaliGemmaForConditionalGeneration", text_config=dict(model_type="gemma", head_dim=8, **TEXT), vision_config=dict(model_type="siglip_vision_model", projection_dim=32, vision_use_head=False, **SEEING), projection_dim=32),
    "gemma3_vl": of("Gemma3ForConditionalGeneration", text_config=dict(model_type="gemma3_text", head_dim=8, **TEXT), vision_config=dict(model_type="siglip_vision_model", vision_use_head=False, **SEEING), mm_tokens_per_image=4),
    "idefics3": of("Idefics3ForConditionalGeneration", text_config=dict(model_type="llama", **TEXT), vision_config=SEEING, scale_factor=2, image_token_id=95),
    "mistral3": of("Mistral3ForConditionalGeneration", text_config=dict(model_type="mistral", head_dim=8, **TEXT), vision_config=dict(model_type="pixtral", **{**SEEING, "num_attention_heads": 3, "head_dim": 8}), spatial_merge_size=2),
    "qwen2_vl": of("Qwen2VLForConditionalGeneration", **{**TEXT, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}, vision_config=dict(depth=2, embed_dim=24, hidden_size=32, num_heads=3, mlp_ratio=2, patch_size=4, in_channels=3, spatial_merge_size=2, temporal_patch_size=2)),
    "qwen2_5_vl": of("Qwen2_5_VLForConditionalGeneration", **{**TEXT, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}, vision_config=dict(depth=2, hidden_size=24, intermediate_size=40, out_hidden_size=32, num_heads=3, patch_size=4, in_channels=3, spatial_merge_size=2, temporal_patch_size=2)),
    "qwen3_vl": of("Qwen3VLForConditionalGeneration", text_config=dict(**{**TEXT, "head_dim": 8, "rope_scaling": {"rope_type": "default", "mrope_section": [1, 1, 2]}}), vision_config=dict(depth=3, hidden_size=24, intermediate_size=40, out_hidden_size=32, num_heads=3, patch_size=4, in_channels=3, spatial_merge_size=2, temporal_patch_size=2, num_position_embeddings=16, deepstack_visual_indexes=[0, 1])),
    # Diffusion.
    "unet": diffusers_model("UNet2DConditionModel", sample_size=8, block_out_channels=(8, 16), layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=12, attention_head_dim=2, norm_num_groups=4),
    "unet_xl": diffusers_model("UNet2DConditionModel", sample_size=8, block_out_channels=(8, 16), layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=12, attention_head_dim=(1, 2), transformer_layers_per_block=(1, 2), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=20, norm_num_groups=4),
    "vae": diffusers_model("AutoencoderKL", block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"), up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"), layers_per_block=1, latent_channels=4, norm_num_groups=4),
    "dit": diffusers_model("DiTTransformer2DModel", num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, sample_size=8, patch_size=2, num_embeds_ada_norm=10),
    "pixart": diffusers_model("PixArtTransformer2DModel", num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, cross_attention_dim=16, sample_size=8, patch_size=2, caption_channels=12),
    "sd3": diffusers_model("SD3Transformer2DModel", sample_size=8, patch_size=2, in_channels=4, num_layers=3, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=20, caption_projection_dim=16, pooled_projection_dim=12, out_channels=4, pos_embed_max_size=8, qk_norm="rms_norm", dual_attention_layers=(0,)),
    "flux": diffusers_model("FluxTransformer2DModel", patch_size=1, in_channels=4, num_layers=2, num_single_layers=3, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=20, pooled_projection_dim=12, guidance_embeds=True, axes_dims_rope=(2, 2, 4)),
}


def header(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size))


def write(name, build):
    with tempfile.TemporaryDirectory() as folder:
        build().save_pretrained(folder)
        folder = pathlib.Path(folder)
        tensors = {}
        for file in sorted(folder.glob("*.safetensors")):
            tensors.update(header(file))
        tensors.pop("__metadata__", None)
        config = json.loads((folder / "config.json").read_text())
    lines = []
    for tensor, entry in sorted(tensors.items()):
        shape = "x".join(map(str, entry["shape"])) or "scalar"
        lines.append(f"{tensor} {entry['dtype']} {shape}\n")
    (HERE / f"{name}.txt").write_text("".join(lines))
    clean = lambda value: {
        k: clean(v) if isinstance(v, dict) else v for k, v in value.items() if k not in NOISE
    }
    (HERE / f"{name}.json").write_text(json.dumps(clean(config), indent=2) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        write(name, MODELS[name])
