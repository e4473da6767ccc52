//! Names, shapes and config.json of the models that can be made.

use serde_json::{Value, json};
use weightscope::DType;

use super::plant::Plant;

/// Whose shape a checkpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Preset {
    /// GPT-2 small: 12 blocks of width 768, stored [in, out], F32
    Gpt2,
    /// Llama 2 7B: 32 blocks of width 4096
    #[value(name = "llama2-7b")]
    Llama27b,
    /// The first Qwen 7B: 32 blocks of width 4096, fused queries, keys and values
    #[value(name = "qwen-7b")]
    Qwen7b,
    /// A small Mixtral: 4 blocks of width 256 with 8 experts
    Moe,
    /// A Llama for tests: 2 blocks of width 64
    Tiny,
}

/// One tensor to be written.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) law: Law,
    /// Whether it is stored `[in, out]`.
    pub(super) transposed: bool,
    /// The defect that this tensor gets when it is asked for.
    pub(super) place: Option<Plant>,
}

impl Tensor {
    /// Stored rows and columns; a vector is one row.
    pub(super) fn size(&self) -> [u64; 2] {
        match *self.shape.as_slice() {
            [rows, columns] => [rows, columns],
            _ => [1, self.shape.iter().product()],
        }
    }
}

/// What a tensor without a defect holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    Normal,
    Ones,
    Zeros,
}

/// A model, ready to be written.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) tensors: Vec<Tensor>,
    pub(super) config: Value,
}

impl Preset {
    /// What real checkpoints of this kind are stored in.
    pub(super) fn dtype(self) -> DType {
        if self == Self::Gpt2 { DType::F32 } else { DType::BF16 }
    }

    /// Its tensors, with another number of blocks if wished.
    pub(super) fn model(self, blocks: Option<u64>) -> Model {
        let mut draft = Draft { blocks: blocks.unwrap_or(self.blocks()), tensors: Vec::new() };
        let config = match self {
            Self::Gpt2 => draft.gpt2(),
            Self::Qwen7b => draft.qwen(),
            Self::Llama27b => draft.llama(&LLAMA_2_7B),
            Self::Tiny => draft.llama(&TINY),
            Self::Moe => draft.llama(&MOE),
        };
        Model { tensors: draft.tensors, config }
    }

    fn blocks(self) -> u64 {
        match self {
            Self::Gpt2 => 12,
            Self::Llama27b | Self::Qwen7b => 32,
            Self::Moe => 4,
            Self::Tiny => 2,
        }
    }
}

/// Sizes of a Llama, or of a Mixtral when it has experts.
struct Llama {
    hidden: u64,
    inner: u64,
    heads: u64,
    groups: u64,
    experts: u64,
    vocabulary: u64,
}

const LLAMA_2_7B: Llama =
    Llama { hidden: 4096, inner: 11008, heads: 32, groups: 32, experts: 0, vocabulary: 32000 };
const TINY: Llama =
    Llama { hidden: 64, inner: 176, heads: 4, groups: 4, experts: 0, vocabulary: 256 };
const MOE: Llama =
    Llama { hidden: 256, inner: 512, heads: 8, groups: 4, experts: 8, vocabulary: 4096 };

/// A model being listed.
struct Draft {
    blocks: u64,
    tensors: Vec<Tensor>,
}

impl Draft {
    fn push(&mut self, name: String, shape: &[u64], law: Law) -> &mut Tensor {
        self.tensors.push(Tensor {
            name,
            shape: shape.to_vec(),
            law,
            transposed: false,
            place: None,
        });
        let last = self.tensors.len() - 1;
        &mut self.tensors[last]
    }

    /// A matrix `[out, in]`, which is where `plant` goes when `block` is the middle one.
    fn matrix(&mut self, module: &str, [out, input]: [u64; 2], plant: Option<(u64, Plant)>) {
        let middle = self.blocks / 2;
        let tensor = self.push(format!("{module}.weight"), &[out, input], Law::Normal);
        tensor.place = plant.filter(|(block, _)| *block == middle).map(|(_, plant)| plant);
    }

    /// The same stored `[in, out]`, with a bias.
    fn conv1d(&mut self, module: &str, [out, input]: [u64; 2], block: u64, plant: Plant) {
        self.matrix(module, [input, out], Some((block, plant)));
        if let Some(tensor) = self.tensors.last_mut() {
            tensor.transposed = true;
        }
        self.push(format!("{module}.bias"), &[out], Law::Zeros);
    }

    fn table(&mut self, module: &str, shape: [u64; 2]) {
        self.push(format!("{module}.weight"), &shape, Law::Normal);
    }

    fn embedding(&mut self, module: &str, shape: [u64; 2]) {
        self.push(format!("{module}.weight"), &shape, Law::Normal).place = Some(Plant::Nan);
    }

    fn norm(&mut self, module: &str, width: u64, biased: bool) {
        self.push(format!("{module}.weight"), &[width], Law::Ones);
        if biased {
            self.push(format!("{module}.bias"), &[width], Law::Zeros);
        }
    }

    fn gpt2(&mut self) -> Value {
        const HIDDEN: u64 = 768;
        self.embedding("wte", [50257, HIDDEN]);
        self.table("wpe", [1024, HIDDEN]);
        for block in 0..self.blocks {
            let h = format!("h.{block}");
            self.norm(&format!("{h}.ln_1"), HIDDEN, true);
            let attention = [3 * HIDDEN, HIDDEN];
            self.conv1d(&format!("{h}.attn.c_attn"), attention, block, Plant::DeadRows);
            self.conv1d(&format!("{h}.attn.c_proj"), [HIDDEN, HIDDEN], block, Plant::Kappa);
            self.norm(&format!("{h}.ln_2"), HIDDEN, true);
            let up = [4 * HIDDEN, HIDDEN];
            self.conv1d(&format!("{h}.mlp.c_fc"), up, block, Plant::OutlierColumns);
            self.conv1d(&format!("{h}.mlp.c_proj"), [HIDDEN, 4 * HIDDEN], block, Plant::Rank);
        }
        self.norm("ln_f", HIDDEN, true);
        json!({
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": self.blocks,
            "n_embd": HIDDEN, "n_head": 12, "n_positions": 1024, "vocab_size": 50257,
        })
    }

    fn qwen(&mut self) -> Value {
        const HIDDEN: u64 = 4096;
        const INNER: u64 = 11008;
        const VOCABULARY: u64 = 151_936;
        self.embedding("transformer.wte", [VOCABULARY, HIDDEN]);
        for block in 0..self.blocks {
            let h = format!("transformer.h.{block}");
            let at = |plant| Some((block, plant));
            self.norm(&format!("{h}.ln_1"), HIDDEN, false);
            let attention = format!("{h}.attn.c_attn");
            self.matrix(&attention, [3 * HIDDEN, HIDDEN], at(Plant::DeadRows));
            self.push(format!("{attention}.bias"), &[3 * HIDDEN], Law::Zeros);
            self.matrix(&format!("{h}.attn.c_proj"), [HIDDEN, HIDDEN], at(Plant::Kappa));
            self.norm(&format!("{h}.ln_2"), HIDDEN, false);
            self.matrix(&format!("{h}.mlp.w1"), [INNER, HIDDEN], at(Plant::OutlierColumns));
            self.matrix(&format!("{h}.mlp.w2"), [INNER, HIDDEN], None);
            self.matrix(&format!("{h}.mlp.c_proj"), [HIDDEN, INNER], at(Plant::Rank));
        }
        self.norm("transformer.ln_f", HIDDEN, false);
        self.table("lm_head", [VOCABULARY, HIDDEN]);
        json!({
            "model_type": "qwen", "architectures": ["QWenLMHeadModel"],
            "num_hidden_layers": self.blocks, "hidden_size": HIDDEN, "intermediate_size": 2 * INNER,
            "num_attention_heads": 32, "kv_channels": 128, "seq_length": 8192, "no_bias": true,
            "vocab_size": VOCABULARY, "tie_word_embeddings": false,
        })
    }

    fn llama(&mut self, size: &Llama) -> Value {
        let Llama { hidden, inner, heads, groups, experts, vocabulary } = *size;
        let key_value = hidden / heads * groups;
        self.embedding("model.embed_tokens", [vocabulary, hidden]);
        for block in 0..self.blocks {
            let layer = format!("model.layers.{block}");
            let attention = format!("{layer}.self_attn");
            let at = |plant| Some((block, plant));
            self.norm(&format!("{layer}.input_layernorm"), hidden, false);
            self.matrix(&format!("{attention}.q_proj"), [hidden, hidden], at(Plant::DeadRows));
            self.matrix(&format!("{attention}.k_proj"), [key_value, hidden], None);
            self.matrix(&format!("{attention}.v_proj"), [key_value, hidden], None);
            self.matrix(&format!("{attention}.o_proj"), [hidden, hidden], at(Plant::Kappa));
            self.norm(&format!("{layer}.post_attention_layernorm"), hidden, false);
            if experts > 0 {
                self.matrix(&format!("{layer}.block_sparse_moe.gate"), [experts, hidden], None);
            }
            for expert in 0..experts.max(1) {
                let [mlp, gate, up, down] = if experts > 0 {
                    let mlp = format!("{layer}.block_sparse_moe.experts.{expert}");
                    [&mlp, "w1", "w3", "w2"].map(str::to_owned)
                } else {
                    let mlp = format!("{layer}.mlp");
                    [&mlp, "gate_proj", "up_proj", "down_proj"].map(str::to_owned)
                };
                let first = |plant| at(plant).filter(|_| expert == 0);
                self.matrix(&format!("{mlp}.{gate}"), [inner, hidden], None);
                let outliers = first(Plant::OutlierColumns);
                self.matrix(&format!("{mlp}.{up}"), [inner, hidden], outliers);
                self.matrix(&format!("{mlp}.{down}"), [hidden, inner], first(Plant::Rank));
            }
        }
        self.norm("model.norm", hidden, false);
        self.table("lm_head", [vocabulary, hidden]);
        let mut config = json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"],
            "num_hidden_layers": self.blocks, "hidden_size": hidden, "intermediate_size": inner,
            "num_attention_heads": heads, "num_key_value_heads": groups, "vocab_size": vocabulary,
            "tie_word_embeddings": false,
        });
        if experts > 0 {
            config["model_type"] = "mixtral".into();
            config["architectures"] = json!(["MixtralForCausalLM"]);
            config["num_local_experts"] = experts.into();
            config["num_experts_per_tok"] = 2.into();
        }
        config
    }
}
