//! What config.json says: the sizes of a model under the names different architectures give them.

use weightscope_core::{Heads, Metadata, Value};

use crate::families;
use crate::family::{Dim, Family, Need};

/// config.json with the words this crate asks it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Config<'a> {
    value: Option<&'a Value>,
}

/// A count, also one that was written as `12.0`.
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..1e15).contains(x));
    value.as_u64().or(number.map(|x| x as u64))
}

impl<'a> Config<'a> {
    /// The configuration of a checkpoint.
    pub(crate) fn new(metadata: &'a Metadata) -> Self {
        Self { value: metadata.config.as_ref().filter(|value| matches!(value, Value::Map(_))) }
    }

    /// Whether there is one.
    pub(crate) fn exists(self) -> bool {
        self.value.is_some()
    }

    /// `model_type`.
    pub(crate) fn model_type(self) -> Option<&'a str> {
        self.value?.get("model_type")?.as_str()
    }

    /// Whether `model_type` is of another family than `own`.
    pub(crate) fn names_another(self, own: &Family) -> bool {
        let Some(name) = self.model_type().filter(|name| !own.model_types.contains(name)) else {
            return false;
        };
        families::ALL.iter().any(|family| family.model_types.contains(&name))
    }

    /// A truth value.
    pub(crate) fn flag(self, key: &str) -> Option<bool> {
        self.find(key, Value::as_bool)
    }

    /// The first of `keys` that holds a count.
    fn count(self, keys: &[&str]) -> Option<u64> {
        keys.iter().find_map(|key| self.find(key, whole)).filter(|n| *n > 0)
    }

    /// Looks at the top, then in the text part of models that also see.
    fn find<T>(self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.value?;
        let inner = || value.get("text_config")?.get(key).and_then(&read);
        value.get(key).and_then(&read).or_else(inner)
    }

    /// Whether the architecture is a language model with a head.
    fn has_language_model_head(self) -> bool {
        let architectures =
            self.value.and_then(|v| v.get("architectures")).map_or(&[][..], Value::items);
        architectures
            .iter()
            .filter_map(Value::as_str)
            .any(|name| name.contains("ForCausalLM") || name.contains("LMHead"))
    }

    /// Whether the head is the token embedding: config.json's word, else the family's habit.
    pub(crate) fn ties_embeddings(self, family: Option<&Family>) -> Option<bool> {
        let habit = || {
            let family = family?;
            let model_type = self.model_type().unwrap_or(family.name);
            family.tied_by_default.contains(&model_type).then_some(true)
        };
        self.flag("tie_word_embeddings").or_else(habit)
    }

    /// Whether a tensor with this need must be there.
    pub(crate) fn requires(self, need: Need, family: &Family) -> bool {
        match need {
            Need::Never => false,
            Need::Always => true,
            Need::Flag(key) => self.flag(key) == Some(true),
            Need::Unless(key) => self.flag(key) != Some(false),
            Need::For(types) => self.model_type().is_some_and(|name| types.contains(&name)),
            Need::AnyOf(needs) => needs.iter().any(|need| self.requires(*need, family)),
            Need::UntiedHead => {
                self.ties_embeddings(Some(family)) == Some(false) && self.has_language_model_head()
            }
        }
    }
}

/// The sizes of a model, as far as they are known. Never zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) layers: Option<u64>,
    pub(crate) hidden: Option<u64>,
    pub(crate) vocab: Option<u64>,
    pub(crate) positions: Option<u64>,
    pub(crate) token_types: Option<u64>,
    pub(crate) inner: Option<u64>,
    pub(crate) expert_inner: Option<u64>,
    pub(crate) shared_inner: Option<u64>,
    pub(crate) experts: Option<u64>,
    /// Query heads, key-value heads and features per head, when they make sense together.
    pub(crate) heads: Option<Heads>,
    /// Width of the residual stream in config.json; `hidden` also knows the stored shapes.
    config_hidden: Option<u64>,
}

impl Sizes {
    /// Reads config.json; `observed` is the hidden size the stored shapes tell.
    pub(crate) fn new(config: Config<'_>, family: Option<&Family>, observed: Option<u64>) -> Self {
        let config_hidden = config.count(&["hidden_size", "n_embd", "d_model", "dim"]);
        let inner = config
            .count(&["intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim"])
            .or_else(|| config_hidden?.checked_mul(family?.inner_per_hidden?));
        Self {
            layers: config.count(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"]),
            hidden: observed.or(config_hidden),
            vocab: config.count(&["vocab_size"]),
            positions: config.count(&["max_position_embeddings", "n_positions", "n_ctx"]),
            token_types: config.count(&["type_vocab_size"]),
            inner,
            expert_inner: config.count(&["moe_intermediate_size"]).or(inner),
            shared_inner: config.count(&["shared_expert_intermediate_size"]),
            experts: config.count(&["num_local_experts", "num_experts", "n_routed_experts"]),
            heads: heads(config, config_hidden.or(observed)),
            config_hidden,
        }
    }

    /// The size config.json implies for a dimension.
    pub(crate) fn of(&self, dim: Dim) -> Option<u64> {
        let heads = self.heads.as_ref();
        let times = |n: u32, m: u32| u64::from(n) * u64::from(m);
        match dim {
            Dim::Any => None,
            Dim::Hidden => self.config_hidden,
            Dim::Vocab => self.vocab,
            Dim::Positions => self.positions,
            Dim::TokenTypes => self.token_types,
            Dim::Inner => self.inner,
            Dim::HalfInner => self.inner.map(|n| n / 2),
            Dim::GateUp => self.inner?.checked_mul(2),
            Dim::ExpertInner => self.expert_inner,
            Dim::ExpertGateUp => self.expert_inner?.checked_mul(2),
            Dim::SharedInner => self.shared_inner,
            Dim::Query => heads.map(|h| times(h.query, h.head_dim)),
            Dim::KeyValue => heads.map(|h| times(h.key_value, h.head_dim)),
            Dim::Qkv => heads.and_then(qkv_width),
            Dim::HeadWidth => heads.map(|h| u64::from(h.head_dim)),
            Dim::Heads => heads.map(|h| u64::from(h.query)),
            Dim::Experts => self.experts,
        }
    }
}

/// Outputs of a fused query, key and value projection.
pub(crate) fn qkv_width(heads: &Heads) -> Option<u64> {
    let [query, key_value, width] = [heads.query, heads.key_value, heads.head_dim].map(u64::from);
    query.checked_add(key_value.checked_mul(2)?)?.checked_mul(width)
}

fn heads(config: Config<'_>, hidden: Option<u64>) -> Option<Heads> {
    let query = config.count(&["num_attention_heads", "n_head", "n_heads", "num_heads"])?;
    let key_value =
        config.count(&["num_key_value_heads", "n_head_kv", "num_kv_heads"]).unwrap_or(query);
    let head_dim = config
        .count(&["head_dim", "kv_channels"])
        .or_else(|| hidden.filter(|n| n % query == 0).map(|n| n / query))?;
    if head_dim == 0 || query % key_value != 0 {
        return None;
    }
    Some(Heads {
        query: query.try_into().ok()?,
        key_value: key_value.try_into().ok()?,
        head_dim: head_dim.try_into().ok()?,
    })
}
