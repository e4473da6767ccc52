//! Language models that were only initialised, with the names, shapes and config.json of real ones.
//!
//! They carry what real files have beside random matrices: norms of ones, zero biases, padding rows, mask
//! buffers, position ids, sinusoid tables, tied copies. Nothing in them is a defect, so whatever a scan
//! finds above info is a false alarm; and a defect planted with [`Model::tensor_mut`] is the only one.

use weightscope_codec::DType;
use weightscope_core::{MemorySource, Metadata, Value};

use crate::Random;
use crate::checkpoint::{TestCheckpoint, encode};

/// Whose names and structure a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// GPT-2: Conv1D matrices stored `[in, out]`, residual projections scaled down, causal masks.
    Gpt2,
    /// Llama with grouped queries: linear matrices, RMS norms, a gated MLP, no biases.
    Llama,
    /// BERT: a padding row, token types, position ids, a pooler.
    Bert,
    /// An encoder and a decoder of no known family: copied embeddings, sinusoid tables, cross attention.
    Seq2Seq,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gpt2, Self::Llama, Self::Bert, Self::Seq2Seq];
}

/// The law that matrices are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Normal with deviation 0.02.
    Normal,
    /// The same, cut at two deviations.
    TruncatedNormal,
    /// Uniform in +-1/sqrt(in), biases too: what linear layers have unless someone chooses.
    KaimingUniform,
    /// Uniform in +-sqrt(6/(in + out)).
    XavierUniform,
    /// Orthonormal rows or columns.
    Orthogonal,
}

impl Init {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Normal,
        Self::TruncatedNormal,
        Self::KaimingUniform,
        Self::XavierUniform,
        Self::Orthogonal,
    ];
}

/// What model to make.
#[derive(Clone, Copy, Debug)]
pub struct ModelSpec {
    architecture: Architecture,
    blocks: usize,
    width: usize,
    dtype: DType,
    init: Init,
    tied: bool,
    unit_embeddings: bool,
    zero_projections: bool,
    seed: u64,
}

/// Rows of token embeddings.
const VOCABULARY: usize = 200;
/// Rows of position tables.
const POSITIONS: usize = 40;
/// Query heads.
const HEADS: usize = 4;

impl ModelSpec {
    /// Four blocks of width 64, F32, normal initialisation, the head stored apart.
    pub fn new(architecture: Architecture) -> Self {
        Self {
            architecture,
            blocks: 4,
            width: 64,
            dtype: DType::F32,
            init: Init::Normal,
            tied: false,
            unit_embeddings: false,
            zero_projections: false,
            seed: 0,
        }
    }

    /// Number of blocks (of each tower).
    #[must_use]
    pub fn blocks(mut self, blocks: usize) -> Self {
        self.blocks = blocks;
        self
    }

    /// Width of the residual stream, a multiple of 16.
    #[must_use]
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Element type of all weights.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Law of the matrices.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Whether config.json ties head and token embedding, and no head is stored.
    #[must_use]
    pub fn tied(mut self, tied: bool) -> Self {
        self.tied = tied;
        self
    }

    /// Whether embeddings are standard normal instead of 0.02 times that.
    #[must_use]
    pub fn unit_embeddings(mut self, unit: bool) -> Self {
        self.unit_embeddings = unit;
        self
    }

    /// Whether the last matrices of attention and MLP are zero, as some trainers begin.
    #[must_use]
    pub fn zero_projections(mut self, zero: bool) -> Self {
        self.zero_projections = zero;
        self
    }

    /// Seed of all values.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Draws the weights.
    pub fn build(&self) -> Model {
        let mut draft = Draft {
            spec: self,
            random: Random::new(self.seed ^ 0x57ee_1ca5_0000_0000),
            tensors: Vec::new(),
        };
        let config = match self.architecture {
            Architecture::Gpt2 => draft.gpt2(),
            Architecture::Llama => draft.llama(),
            Architecture::Bert => draft.bert(),
            Architecture::Seq2Seq => draft.seq2seq(),
        };
        Model { tensors: draft.tensors, config }
    }
}

/// A model to be changed, written or scanned.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its tensors, in file order.
    pub tensors: Vec<ModelTensor>,
    /// The text of config.json.
    pub config: String,
}

/// One tensor before it is rounded to its element type.
#[derive(Clone, Debug)]
pub struct ModelTensor {
    /// Name.
    pub name: String,
    /// Element type that it will be stored in.
    pub dtype: DType,
    /// Shape as stored.
    pub shape: Vec<u64>,
    /// Values, row-major as stored.
    pub values: Vec<f32>,
    /// Whether it is stored `[in, out]`.
    pub transposed: bool,
}

impl ModelTensor {
    /// Stored rows and columns of a matrix.
    fn size(&self) -> [usize; 2] {
        let [rows, columns] = self.shape.as_slice() else { panic!("{} is no matrix", self.name) };
        [*rows as usize, *columns as usize]
    }

    /// Number of output units of a matrix.
    pub fn outputs(&self) -> usize {
        self.size()[usize::from(self.transposed)]
    }

    /// Multiplies the weights of one output unit.
    pub fn scale_output(&mut self, unit: usize, factor: f32) {
        self.scale_line(unit, factor, !self.transposed);
    }

    /// Multiplies the weights of one input feature.
    pub fn scale_input(&mut self, feature: usize, factor: f32) {
        self.scale_line(feature, factor, self.transposed);
    }

    fn scale_line(&mut self, line: usize, factor: f32, is_row: bool) {
        let [_, columns] = self.size();
        for (index, value) in self.values.iter_mut().enumerate() {
            let here = if is_row { index / columns } else { index % columns };
            *value *= if here == line { factor } else { 1.0 };
        }
    }

    /// Multiplies everything.
    pub fn scale(&mut self, factor: f32) {
        for value in &mut self.values {
            *value *= factor;
        }
    }
}

impl Model {
    /// The tensor of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn tensor_mut(&mut self, name: &str) -> &mut ModelTensor {
        let found = self.tensors.iter_mut().find(|t| t.name == name);
        found.unwrap_or_else(|| panic!("the model has no tensor {name}"))
    }

    /// Takes a tensor out.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn remove(&mut self, name: &str) -> ModelTensor {
        let index = self.tensors.iter().position(|t| t.name == name);
        self.tensors.remove(index.unwrap_or_else(|| panic!("the model has no tensor {name}")))
    }

    /// As a checkpoint in memory.
    ///
    /// # Panics
    /// When values do not fit a shape, or the configuration is no JSON.
    pub fn to_source(&self) -> MemorySource {
        let config: Value = serde_json::from_str(&self.config).expect("config.json is JSON");
        let mut source = MemorySource::new(Metadata {
            path: "model".to_owned(),
            format: "memory".to_owned(),
            config: Some(config),
            ..Metadata::default()
        });
        for t in &self.tensors {
            source
                .push(&t.name, t.dtype, &t.shape, encode(t.dtype, &t.values))
                .expect("values fit the shape");
        }
        source
    }

    /// As files to be written.
    pub fn to_checkpoint(&self) -> TestCheckpoint {
        let checkpoint = TestCheckpoint::new().config(&self.config);
        self.tensors.iter().fold(checkpoint, |c, t| c.values(&t.name, t.dtype, &t.shape, &t.values))
    }
}

/// A model being drawn.
struct Draft<'a> {
    spec: &'a ModelSpec,
    random: Random,
    tensors: Vec<ModelTensor>,
}

impl Draft<'_> {
    fn push(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.tensors.push(ModelTensor {
            name: name.to_owned(),
            dtype: self.spec.dtype,
            shape: shape.iter().map(|n| *n as u64).collect(),
            values,
            transposed: false,
        });
    }

    fn normal(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        (0..count).map(|_| (deviation * self.random.normal()) as f32).collect()
    }

    /// A matrix `[out, in]` of the chosen law.
    fn matrix(&mut self, out: usize, input: usize) -> Vec<f32> {
        let count = out * input;
        match self.spec.init {
            Init::Normal => self.normal(count, 0.02),
            Init::TruncatedNormal => {
                (0..count).map(|_| (0.02 * self.random.truncated_normal()) as f32).collect()
            }
            Init::KaimingUniform => self.uniform(count, (input as f64).sqrt().recip()),
            Init::XavierUniform => self.uniform(count, (6.0 / (out + input) as f64).sqrt()),
            Init::Orthogonal => orthogonal(&mut self.random, out, input),
        }
    }

    fn uniform(&mut self, count: usize, bound: f64) -> Vec<f32> {
        (0..count).map(|_| self.random.uniform(bound) as f32).collect()
    }

    /// The last matrix of a residual branch.
    fn projection(&mut self, out: usize, input: usize, factor: f32) -> Vec<f32> {
        if self.spec.zero_projections {
            return vec![0.0; out * input];
        }
        let mut values = self.matrix(out, input);
        for value in &mut values {
            *value *= factor;
        }
        values
    }

    fn bias(&mut self, out: usize, input: usize) -> Vec<f32> {
        match self.spec.init {
            Init::KaimingUniform => self.uniform(out, (input as f64).sqrt().recip()),
            _ => vec![0.0; out],
        }
    }

    fn embedding(&mut self, name: &str, rows: usize, padding: Option<usize>) {
        let width = self.spec.width;
        let deviation = if self.spec.unit_embeddings { 1.0 } else { 0.02 };
        let mut values = self.normal(rows * width, deviation);
        if let Some(row) = padding {
            values[row * width..(row + 1) * width].fill(0.0);
        }
        self.push(name, &[rows, width], values);
    }

    fn norm(&mut self, name: &str, biased: bool) {
        let width = self.spec.width;
        self.push(&format!("{name}.weight"), &[width], vec![1.0; width]);
        if biased {
            self.push(&format!("{name}.bias"), &[width], vec![0.0; width]);
        }
    }

    /// A linear layer stored `[out, in]`.
    fn linear(&mut self, name: &str, [out, input]: [usize; 2], biased: bool) {
        let values = self.matrix(out, input);
        self.linear_of(name, [out, input], values, biased);
    }

    fn linear_of(&mut self, name: &str, [out, input]: [usize; 2], values: Vec<f32>, biased: bool) {
        self.push(&format!("{name}.weight"), &[out, input], values);
        if biased {
            let bias = self.bias(out, input);
            self.push(&format!("{name}.bias"), &[out], bias);
        }
    }

    /// GPT-2's linear layer, stored `[in, out]`.
    fn conv1d(&mut self, name: &str, [out, input]: [usize; 2], values: &[f32]) {
        let turned: Vec<f32> =
            (0..input).flat_map(|i| (0..out).map(move |o| values[o * input + i])).collect();
        self.push(&format!("{name}.weight"), &[input, out], turned);
        if let Some(tensor) = self.tensors.last_mut() {
            tensor.transposed = true;
        }
        let bias = self.bias(out, input);
        self.push(&format!("{name}.bias"), &[out], bias);
    }

    fn gpt2(&mut self) -> String {
        let (d, blocks) = (self.spec.width, self.spec.blocks);
        // Radford et al. 2019: residual projections are scaled down by the root of their number.
        let residual = (2.0 * blocks as f32).sqrt().recip();
        self.embedding("transformer.wte.weight", VOCABULARY, None);
        self.embedding("transformer.wpe.weight", POSITIONS, None);
        for b in 0..blocks {
            let h = format!("transformer.h.{b}");
            self.norm(&format!("{h}.ln_1"), true);
            let mask = (0..POSITIONS * POSITIONS)
                .map(|i| f32::from(u8::from(i % POSITIONS <= i / POSITIONS)));
            self.push(&format!("{h}.attn.bias"), &[1, 1, POSITIONS, POSITIONS], mask.collect());
            self.push(&format!("{h}.attn.masked_bias"), &[], vec![-1e4]);
            let values = self.matrix(3 * d, d);
            self.conv1d(&format!("{h}.attn.c_attn"), [3 * d, d], &values);
            let values = self.projection(d, d, residual);
            self.conv1d(&format!("{h}.attn.c_proj"), [d, d], &values);
            self.norm(&format!("{h}.ln_2"), true);
            let values = self.matrix(4 * d, d);
            self.conv1d(&format!("{h}.mlp.c_fc"), [4 * d, d], &values);
            let values = self.projection(d, 4 * d, residual);
            self.conv1d(&format!("{h}.mlp.c_proj"), [d, 4 * d], &values);
        }
        self.norm("transformer.ln_f", true);
        self.head("lm_head.weight");
        let tied = self.spec.tied;
        format!(
            r#"{{"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"n_layer":{blocks},"n_embd":{d},"n_head":{HEADS},"n_positions":{POSITIONS},"vocab_size":{VOCABULARY},"tie_word_embeddings":{tied}}}"#
        )
    }

    fn llama(&mut self) -> String {
        let (d, blocks) = (self.spec.width, self.spec.blocks);
        // Queries twice as wide as the stream, so that keys and values are large enough to be judged.
        let (head, inner) = (2 * d / HEADS, 11 * d / 4);
        let (query, key_value) = (HEADS * head, HEADS * head / 2);
        self.embedding("model.embed_tokens.weight", VOCABULARY, None);
        for b in 0..blocks {
            let layer = format!("model.layers.{b}");
            self.norm(&format!("{layer}.input_layernorm"), false);
            self.linear(&format!("{layer}.self_attn.q_proj"), [query, d], false);
            self.linear(&format!("{layer}.self_attn.k_proj"), [key_value, d], false);
            self.linear(&format!("{layer}.self_attn.v_proj"), [key_value, d], false);
            let values = self.projection(d, query, 1.0);
            self.linear_of(&format!("{layer}.self_attn.o_proj"), [d, query], values, false);
            self.norm(&format!("{layer}.post_attention_layernorm"), false);
            self.linear(&format!("{layer}.mlp.gate_proj"), [inner, d], false);
            self.linear(&format!("{layer}.mlp.up_proj"), [inner, d], false);
            let values = self.projection(d, inner, 1.0);
            self.linear_of(&format!("{layer}.mlp.down_proj"), [d, inner], values, false);
        }
        self.norm("model.norm", false);
        self.head("lm_head.weight");
        let (tied, groups) = (self.spec.tied, HEADS / 2);
        format!(
            r#"{{"model_type":"llama","architectures":["LlamaForCausalLM"],"num_hidden_layers":{blocks},"hidden_size":{d},"intermediate_size":{inner},"num_attention_heads":{HEADS},"num_key_value_heads":{groups},"head_dim":{head},"vocab_size":{VOCABULARY},"tie_word_embeddings":{tied}}}"#
        )
    }

    fn head(&mut self, name: &str) {
        if !self.spec.tied {
            let values = self.matrix(VOCABULARY, self.spec.width);
            self.push(name, &[VOCABULARY, self.spec.width], values);
        }
    }

    fn bert(&mut self) -> String {
        let (d, blocks) = (self.spec.width, self.spec.blocks);
        let inner = 4 * d;
        self.embedding("embeddings.word_embeddings.weight", VOCABULARY, Some(0));
        self.embedding("embeddings.position_embeddings.weight", POSITIONS, None);
        self.embedding("embeddings.token_type_embeddings.weight", 2, None);
        let ids = (0..POSITIONS).map(|i| i as f32).collect();
        self.push("embeddings.position_ids", &[1, POSITIONS], ids);
        if let Some(tensor) = self.tensors.last_mut() {
            tensor.dtype = DType::I64;
        }
        self.norm("embeddings.LayerNorm", true);
        for b in 0..blocks {
            let layer = format!("encoder.layer.{b}");
            for part in ["query", "key", "value"] {
                self.linear(&format!("{layer}.attention.self.{part}"), [d, d], true);
            }
            let values = self.projection(d, d, 1.0);
            self.linear_of(&format!("{layer}.attention.output.dense"), [d, d], values, true);
            self.norm(&format!("{layer}.attention.output.LayerNorm"), true);
            self.linear(&format!("{layer}.intermediate.dense"), [inner, d], true);
            let values = self.projection(d, inner, 1.0);
            self.linear_of(&format!("{layer}.output.dense"), [d, inner], values, true);
            self.norm(&format!("{layer}.output.LayerNorm"), true);
        }
        self.linear("pooler.dense", [d, d], true);
        format!(
            r#"{{"model_type":"bert","architectures":["BertModel"],"num_hidden_layers":{blocks},"hidden_size":{d},"intermediate_size":{inner},"num_attention_heads":{HEADS},"max_position_embeddings":{POSITIONS},"type_vocab_size":2,"vocab_size":{VOCABULARY}}}"#
        )
    }

    fn seq2seq(&mut self) -> String {
        let (d, blocks) = (self.spec.width, self.spec.blocks);
        self.embedding("model.shared.weight", VOCABULARY, Some(1));
        let shared = self.tensors[0].values.clone();
        for tower in ["encoder", "decoder"] {
            let tower_name = format!("model.{tower}");
            let copy = format!("{tower_name}.embed_tokens.weight");
            self.push(&copy, &[VOCABULARY, d], shared.clone());
            let table = sinusoids(POSITIONS, d);
            self.push(&format!("{tower_name}.embed_positions.weight"), &[POSITIONS, d], table);
            for b in 0..blocks {
                let layer = format!("{tower_name}.layers.{b}");
                let attentions: &[&str] = if tower == "encoder" {
                    &["self_attn"]
                } else {
                    &["self_attn", "encoder_attn"]
                };
                for attention in attentions {
                    for part in ["q_proj", "k_proj", "v_proj"] {
                        self.linear(&format!("{layer}.{attention}.{part}"), [d, d], true);
                    }
                    let values = self.projection(d, d, 1.0);
                    self.linear_of(&format!("{layer}.{attention}.out_proj"), [d, d], values, true);
                    self.norm(&format!("{layer}.{attention}_layer_norm"), true);
                }
                self.linear(&format!("{layer}.fc1"), [4 * d, d], true);
                let values = self.projection(d, 4 * d, 1.0);
                self.linear_of(&format!("{layer}.fc2"), [d, 4 * d], values, true);
                self.norm(&format!("{layer}.final_layer_norm"), true);
            }
        }
        self.push("final_logits_bias", &[1, VOCABULARY], vec![0.0; VOCABULARY]);
        self.head("lm_head.weight");
        let tied = self.spec.tied;
        format!(
            r#"{{"model_type":"translator","encoder_layers":{blocks},"d_model":{d},"vocab_size":{VOCABULARY},"tie_word_embeddings":{tied}}}"#
        )
    }
}

/// `[out, in]` with orthonormal rows or columns, whichever are fewer.
fn orthogonal(random: &mut Random, out: usize, input: usize) -> Vec<f32> {
    let basis = orthonormal(random, out.min(input), out.max(input));
    let at = |o: usize, i: usize| if out <= input { basis[o][i] } else { basis[i][o] };
    (0..out * input).map(|index| at(index / input, index % input) as f32).collect()
}

/// `count` orthonormal vectors, by Gram and Schmidt.
fn orthonormal(random: &mut Random, count: usize, length: usize) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut vector: Vec<f64> = (0..length).map(|_| random.normal()).collect();
        // Twice, since the first time leaves rounding errors where much is taken away.
        for _ in 0..2 {
            for other in &basis {
                let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        for value in &mut vector {
            *value /= norm;
        }
        basis.push(vector);
    }
    basis
}

/// A matrix `rows` x `columns`, row-major, with these singular values (as many as the shorter side at most, the
/// rest are zero) in random directions; the root mean square of its entries is `rms`.
///
/// ```
/// use weightscope_testkit::{Random, models::with_singular_values};
///
/// let values = with_singular_values(&mut Random::new(1), 20, 30, &[2.0, 1.0], 0.02);
/// assert_eq!(values.len(), 600);
/// ```
pub fn with_singular_values(
    random: &mut Random,
    rows: usize,
    columns: usize,
    sigma: &[f64],
    rms: f64,
) -> Vec<f32> {
    let left = orthonormal(random, sigma.len(), rows);
    let right = orthonormal(random, sigma.len(), columns);
    let energy: f64 = sigma.iter().map(|s| s * s).sum();
    let scale = rms * ((rows * columns) as f64 / energy).sqrt();
    let mut values = vec![0.0f64; rows * columns];
    for ((u, v), s) in left.iter().zip(&right).zip(sigma) {
        for (row, u) in values.chunks_exact_mut(columns).zip(u) {
            for (value, v) in row.iter_mut().zip(v) {
                *value += scale * s * u * v;
            }
        }
    }
    values.into_iter().map(|v| v as f32).collect()
}

/// Sines in the first half of the columns, cosines in the second (Vaswani et al. 2017).
fn sinusoids(rows: usize, columns: usize) -> Vec<f32> {
    let half = columns / 2;
    let value = |position: usize, column: usize| {
        let frequency = 10_000f64.powf(-((column % half) as f64) / half as f64);
        let angle = position as f64 * frequency;
        if column < half { angle.sin() } else { angle.cos() }
    };
    (0..rows * columns).map(|i| value(i / columns, i % columns) as f32).collect()
}

#[cfg(test)]
mod tests {
    use weightscope_core::TensorSource;

    use super::*;

    #[test]
    fn seeds_repeat_and_differ() {
        let build = |seed| ModelSpec::new(Architecture::Bert).blocks(1).seed(seed).build();
        let values = |model: Model| model.tensors.into_iter().flat_map(|t| t.values).collect();
        let [a, b, c]: [Vec<f32>; 3] = [build(1), build(1), build(2)].map(values);
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn orthogonal_rows_and_columns() {
        for (out, input) in [(8, 24), (24, 8), (16, 16)] {
            let w = orthogonal(&mut Random::new(3), out, input);
            let line = |k: usize, j: usize| {
                f64::from(if out <= input { w[k * input + j] } else { w[j * input + k] })
            };
            for (a, b) in [(0, 0), (0, 1), (3, 7)] {
                let dot: f64 = (0..out.max(input)).map(|j| line(a, j) * line(b, j)).sum();
                // Rounding to f32 leaves 6e-8 for each of 24 terms.
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-6, "{dot}");
            }
        }
    }

    #[test]
    fn output_units_are_columns_of_conv1d() {
        let mut model = ModelSpec::new(Architecture::Gpt2).blocks(1).build();
        let fc = model.tensor_mut("transformer.h.0.mlp.c_fc.weight");
        assert_eq!((fc.shape.clone(), fc.outputs()), (vec![64, 256], 256));
        fc.scale_output(7, 0.0);
        assert!((0..64).all(|row| fc.values[row * 256 + 7] == 0.0 && fc.values[row * 256] != 0.0));
    }

    #[test]
    fn every_architecture_becomes_a_source() {
        for architecture in Architecture::ALL {
            let model = ModelSpec::new(architecture).blocks(2).tied(true).build();
            assert_eq!(model.to_source().entries().len(), model.tensors.len());
        }
    }
}
