//! What a weight is for.

use serde::{Deserialize, Serialize};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every member, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name reports use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

vocabulary! {
    /// What a tensor does in the network. A closed list: families map their names onto it.
    Role {
        /// Token embedding table, [vocabulary, hidden].
        TokenEmbedding = "token_embedding",
        /// Learned (or stored sinusoidal) position table, [positions, hidden].
        PositionEmbedding = "position_embedding",
        /// Segment or token-type table.
        TypeEmbedding = "type_embedding",
        /// Query projection.
        AttentionQ = "attention_q",
        /// Key projection.
        AttentionK = "attention_k",
        /// Value projection.
        AttentionV = "attention_v",
        /// Fused query, key and value projection.
        AttentionQkv = "attention_qkv",
        /// Output projection of attention.
        AttentionO = "attention_o",
        /// Multi-head latent attention: hidden to compressed key-value.
        AttentionKvDown = "attention_kv_down",
        /// Multi-head latent attention: compressed key-value to heads.
        AttentionKvUp = "attention_kv_up",
        /// Multi-head latent attention: hidden to compressed query.
        AttentionQDown = "attention_q_down",
        /// Multi-head latent attention: compressed query to heads.
        AttentionQUp = "attention_q_up",
        /// Gate of a gated MLP (the factor that goes through the activation).
        MlpGate = "mlp_gate",
        /// First MLP matrix, or the linear factor of a gated MLP.
        MlpUp = "mlp_up",
        /// Fused gate and up.
        MlpGateUp = "mlp_gate_up",
        /// Last MLP matrix.
        MlpDown = "mlp_down",
        /// Expert router (gate of a mixture of experts).
        Router = "router",
        /// Normalisation scale or shift.
        Norm = "norm",
        /// Output head: language-model head, classifier, pooler.
        Head = "head",
        /// Convolution.
        Conv = "conv",
        /// State-space parameter.
        Ssm = "ssm",
        /// Low-rank adapter, first factor.
        AdapterA = "adapter_a",
        /// Low-rank adapter, second factor.
        AdapterB = "adapter_b",
        /// Anything else.
        Other = "other",
    }
}

vocabulary! {
    /// Which part of a module a tensor is. Only weights and biases are parameters.
    Part {
        /// The weight itself.
        Weight = "weight",
        /// An additive bias.
        Bias = "bias",
        /// Scales of a quantised weight.
        Scale = "scale",
        /// Zero points of a quantised weight.
        ZeroPoint = "zero_point",
        /// Stored, but not trained: masks, frequencies, running statistics.
        Buffer = "buffer",
    }
}

vocabulary! {
    /// Which of a model's towers a weight belongs to.
    Stack {
        /// Reads the input (BERT, the first half of T5).
        Encoder = "encoder",
        /// Writes the output (every GPT and Llama, the second half of T5).
        Decoder = "decoder",
        /// Images.
        Vision = "vision",
        /// Text beside a vision tower.
        Text = "text",
    }
}

vocabulary! {
    /// Coarse classes for parameter shares.
    Category {
        /// Token (and type) embeddings.
        TokenEmbedding = "token_embedding",
        /// Position embeddings.
        PositionEmbedding = "position_embedding",
        /// Attention projections.
        Attention = "attention",
        /// MLPs, experts and routers.
        FeedForward = "feed_forward",
        /// Normalisation.
        Norm = "norm",
        /// Output heads.
        Head = "head",
        /// Everything else.
        Other = "other",
    }
}

vocabulary! {
    /// How verdicts treat a tensor: only some kinds are judged statistically.
    Kind {
        /// Not trained: masks, frequencies, running statistics, scales.
        Buffer = "buffer",
        /// Fewer than two dimensions, or one of them below two.
        Vector = "vector",
        /// A position table.
        Position = "position",
        /// A token or type embedding.
        Embedding = "embedding",
        /// An output head.
        Head = "head",
        /// A factor of a low-rank adapter: it means nothing without the other.
        Factor = "factor",
        /// Every other matrix.
        Matrix = "matrix",
    }
}

impl Role {
    /// The class this role's parameters are counted in.
    pub const fn category(self) -> Category {
        match self {
            Self::TokenEmbedding | Self::TypeEmbedding => Category::TokenEmbedding,
            Self::PositionEmbedding => Category::PositionEmbedding,
            Self::AttentionQ
            | Self::AttentionK
            | Self::AttentionV
            | Self::AttentionQkv
            | Self::AttentionO
            | Self::AttentionKvDown
            | Self::AttentionKvUp
            | Self::AttentionQDown
            | Self::AttentionQUp => Category::Attention,
            Self::MlpGate | Self::MlpUp | Self::MlpGateUp | Self::MlpDown | Self::Router => {
                Category::FeedForward
            }
            Self::Norm => Category::Norm,
            Self::Head => Category::Head,
            Self::Conv | Self::Ssm | Self::AdapterA | Self::AdapterB | Self::Other => {
                Category::Other
            }
        }
    }
}

impl Role {
    /// Whether it is one of the two factors of a low-rank adapter, whose product is what counts.
    pub const fn is_factor(self) -> bool {
        matches!(self, Self::AdapterA | Self::AdapterB)
    }
}

impl Part {
    /// Whether the tensor counts as parameters and is analysed.
    pub const fn is_parameter(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

impl Kind {
    /// The kind of a tensor with this role and part, seen as the matrix `[out, in]` (if it is one).
    pub fn of(role: Role, part: Part, matrix: Option<[u64; 2]>) -> Self {
        if !part.is_parameter() {
            return Self::Buffer;
        }
        // Also of rank one.
        if role.is_factor() && part == Part::Weight && matrix.is_some() {
            return Self::Factor;
        }
        if matrix.is_none_or(|[out, input]| out.min(input) < 2) {
            return Self::Vector;
        }
        match role {
            Role::PositionEmbedding => Self::Position,
            Role::TokenEmbedding | Role::TypeEmbedding => Self::Embedding,
            Role::Head => Self::Head,
            _ => Self::Matrix,
        }
    }
}
