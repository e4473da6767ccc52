//! What config.json says: the sizes of a model under the names different architectures give them.

use weightscope_core::{Heads, Metadata, Role, Stack, Value};

use crate::families;
use crate::family::{Blocks, Dim, Family, Need};

/// config.json with the words this crate asks it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Config<'a> {
    value: Option<&'a Value>,
    /// Whose sizes are asked for.
    tower: Option<Stack>,
    /// Whether the tensors are an adapter of that model.
    is_beside_adapter: bool,
}

/// A count, also one that was written as `12.0`.
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..1e15).contains(x));
    value.as_u64().or(number.map(|x| x as u64))
}

impl<'a> Config<'a> {
    /// The configuration of a checkpoint.
    pub(crate) fn new(metadata: &'a Metadata) -> Self {
        let value = metadata.config.as_ref().filter(|value| matches!(value, Value::Map(_)));
        Self { value, ..Self::default() }
    }

    /// The same, asked for one tower, or for what belongs to none.
    pub(crate) fn of_tower(self, tower: Option<Stack>) -> Self {
        Self { tower, ..self }
    }

    /// The same, of the model that an adapter is for.
    pub(crate) fn beside_adapter(self) -> Self {
        Self { is_beside_adapter: true, ..self }
    }

    /// Whether there is one.
    pub(crate) fn exists(self) -> bool {
        self.value.is_some()
    }

    /// `model_type`, or the class that diffusers names.
    pub(crate) fn model_type(self) -> Option<&'a str> {
        let value = self.value?;
        value.get("model_type").or_else(|| value.get("_class_name"))?.as_str()
    }

    /// The tower's own part; what belongs to no tower goes with the text.
    fn part(self) -> Option<&'a Value> {
        self.value?.get(match self.tower {
            Some(Stack::Vision) => "vision_config",
            _ => "text_config",
        })
    }

    /// Whether the model, or the tower's own part of it, is of one of these types.
    fn is_of_type(self, types: &[&str]) -> bool {
        let of_part = || self.part()?.get("model_type")?.as_str();
        [self.model_type(), of_part()].into_iter().flatten().any(|name| types.contains(&name))
    }

    /// Whether a whole model is meant: not an adapter, the eyes of a model, or measurements, which a GGUF may hold.
    pub(crate) fn is_of_model(self) -> bool {
        let purpose = || self.value?.get("gguf")?.get("type")?.as_str();
        !self.is_beside_adapter && purpose().is_none_or(|purpose| purpose == "model")
    }

    /// Whether `model_type` is of another family than `own`.
    pub(crate) fn names_another(self, own: &Family) -> bool {
        if own.any_architecture {
            return false;
        }
        let Some(name) = self.model_type().filter(|name| !own.model_types.contains(name)) else {
            return false;
        };
        families::ALL.iter().any(|family| family.model_types.contains(&name))
    }

    /// Whether there is a part of this name that says anything.
    pub(crate) fn declares(self, key: &str) -> bool {
        self.value.and_then(|value| value.get(key)).is_some_and(is_something)
    }

    /// Whether `tie_word_embeddings` is there and false, and the model has a head.
    pub(crate) fn promises_a_head(self) -> bool {
        self.flag("tie_word_embeddings") == Some(false) && self.has_language_model_head()
    }

    /// Whether norms multiply by 1 + w: those of Gemma, and what took them over. GGUF stores 1 + w.
    pub(crate) fn norms_add_one(self) -> bool {
        let adds = |name: &str| {
            let ours = [
                "gemma",
                "gemma2",
                "gemma3",
                "gemma3_text",
                "t5gemma",
                "recurrent_gemma",
                "nemotron",
            ];
            ours.contains(&name)
                || ["qwen3_next", "qwen3_5", "paligemma"]
                    .iter()
                    .any(|start| name.starts_with(start))
        };
        !self.declares("gguf") && self.model_type().is_some_and(adds)
    }

    /// A truth value.
    pub(crate) fn flag(self, key: &str) -> Option<bool> {
        self.find(key, Value::as_bool)
    }

    /// The first of `keys` that holds a count.
    fn count(self, keys: &[&str]) -> Option<u64> {
        keys.iter().find_map(|key| self.find(key, whole)).filter(|n| *n > 0)
    }

    /// Looks in the tower's own part where there is one, else at the top. A language model that also sees has its
    /// sizes in either place.
    fn find<T>(self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.value?;
        let own = || at(self.part()?, key).and_then(&read);
        let top = || at(value, key).and_then(&read);
        match self.tower {
            Some(Stack::Vision | Stack::Text) if self.part().is_some() => own(),
            Some(Stack::Decoder) => own().or_else(top),
            _ => top().or_else(own),
        }
    }

    /// Whether the name of an architecture contains `word`.
    fn is_architecture(self, word: &str) -> bool {
        let architectures =
            self.value.and_then(|v| v.get("architectures")).map_or(&[][..], Value::items);
        architectures.iter().filter_map(Value::as_str).any(|name| name.contains(word))
    }

    /// Whether the architecture is a language model with a head.
    fn has_language_model_head(self) -> bool {
        ["ForCausalLM", "LMHead", "ForConditionalGeneration"]
            .iter()
            .any(|word| self.is_architecture(word))
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
            // What stands beside it is not in config.json.
            Need::Never | Need::Together => false,
            Need::Always => true,
            Need::Flag(key) => self.flag(key) == Some(true),
            Need::Unless(key) => self.flag(key) != Some(false),
            Need::For(types) => self.is_of_type(types),
            Need::Is(key, n) => self.find(key, whole) == Some(n),
            Need::Has(key) => self.find(key, Some).is_some_and(is_something),
            Need::Says(key, word) => {
                let says = |value: &Value| value.as_str().is_some_and(|text| text.contains(word));
                self.find(key, Some)
                    .is_some_and(|value| says(value) || value.items().iter().any(says))
            }
            Need::Architecture(word) => self.is_architecture(word),
            Need::AnyOf(needs) => needs.iter().any(|need| self.requires(*need, family)),
            Need::AllOf(needs) => needs.iter().all(|need| self.requires(*need, family)),
            Need::Not(need) => !self.requires(*need, family),
            Need::UntiedHead => {
                self.ties_embeddings(Some(family)) == Some(false) && self.has_language_model_head()
            }
        }
    }
}

/// What stands under a key, or under keys within one another, written with dots between them.
fn at<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(value, |value, key| value.get(key))
}

/// Neither null, false, zero nor empty.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Integer(n) => *n != 0,
        Value::Number(x) => *x != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
    }
}

/// The sizes of the whole model and of each of its towers.
#[derive(Debug)]
pub(crate) struct Towers<'a> {
    whole: Sizes<'a>,
    /// One for each of [`Stack::ALL`].
    each: Vec<Sizes<'a>>,
    /// Those the family has.
    of_family: Vec<Stack>,
}

impl<'a> Towers<'a> {
    /// Reads config.json; `lent`: heads where it says none, of towers of text; `observed` is the hidden size the stored
    /// shapes of a tower (or of all) tell.
    pub(crate) fn new(
        config: Config<'a>,
        family: Option<&Family>,
        lent: Option<Heads>,
        observed: impl Fn(Option<Stack>) -> Option<u64>,
    ) -> Self {
        let overall = observed(None);
        let tower = |stack: &Stack| {
            let observed = observed(Some(*stack));
            let mut sizes = Sizes::new(config.of_tower(Some(*stack)), family, observed);
            sizes.hidden = sizes.hidden.or(overall);
            if *stack != Stack::Vision {
                sizes.heads = sizes.heads.or(lent);
            }
            sizes
        };
        let whole = Sizes::new(config, family, overall);
        Self {
            whole: Sizes { heads: whole.heads.or(lent), ..whole },
            each: Stack::ALL.iter().map(tower).collect(),
            of_family: family.map_or_else(Vec::new, |family| {
                family.stacks.iter().map(|(_, stack)| *stack).collect()
            }),
        }
    }

    /// The sizes of a tower, or of the whole model.
    pub(crate) fn of(&self, stack: Option<Stack>) -> &Sizes<'a> {
        let place = |stack| Stack::ALL.iter().position(|other| *other == stack);
        stack.and_then(place).and_then(|place| self.each.get(place)).unwrap_or(&self.whole)
    }

    /// What all of the family's towers agree on; of a language model that sees, the size of the language model.
    pub(crate) fn common<T: PartialEq>(&self, size: impl Fn(&Sizes<'a>) -> Option<T>) -> Option<T> {
        let writes = self.of_family.contains(&Stack::Decoder);
        let counts = |stack: &Stack| !writes || *stack != Stack::Vision;
        let towers: Vec<Stack> = self.of_family.iter().copied().filter(counts).collect();
        let Some((first, others)) = towers.split_first() else { return size(&self.whole) };
        let size = |stack: &Stack| size(self.of(Some(*stack)));
        let common = size(first);
        if others.iter().all(|stack| size(stack) == common) { common } else { None }
    }
}

/// The sizes of a model or of one of its towers, as far as they are known. Never zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes<'a> {
    pub(crate) layers: Option<u64>,
    /// Blocks that may follow them.
    pub(crate) extra_layers: u64,
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
    /// Features per head of values, where queries and keys have others.
    value_dim: Option<u32>,
    /// Width of the residual stream in config.json; `hidden` also knows the stored shapes.
    config_hidden: Option<u64>,
    config: Config<'a>,
}

impl<'a> Sizes<'a> {
    /// Reads config.json; `observed` is the hidden size the stored shapes tell.
    fn new(config: Config<'a>, family: Option<&Family>, observed: Option<u64>) -> Self {
        let of_tower = |encoder: &'static str, decoder: &'static str| match config.tower {
            Some(Stack::Encoder) => encoder,
            Some(Stack::Decoder) => decoder,
            _ => "",
        };
        // Where eyes have both, `hidden_size` is what they hand on.
        let of_eyes = if config.tower == Some(Stack::Vision) { "embed_dim" } else { "" };
        let config_hidden = config.count(&[
            of_eyes,
            "hidden_size",
            "n_embd",
            "n_embed",
            "d_model",
            "dim",
            "num_features",
        ]);
        let of_heads = || {
            let heads = config.count(&["num_attention_heads"])?;
            heads.checked_mul(config.count(&["attention_head_dim"])?)
        };
        let config_hidden = config_hidden.or_else(of_heads);
        let inner = config
            .count(&[
                of_tower("encoder_ffn_dim", "decoder_ffn_dim"),
                "intermediate_size",
                "n_inner",
                "ffn_dim",
                "d_ff",
                "hidden_dim",
                "ffn_hidden_size",
            ])
            .or_else(|| config_hidden?.checked_mul(family?.inner_per_hidden?));
        let heads_key = of_tower("encoder_attention_heads", "decoder_attention_heads");
        Self {
            layers: config.count(&[
                of_tower("encoder_layers", "decoder_layers"),
                of_tower("", "num_decoder_layers"),
                of_tower("", "num_single_layers"),
                // Layers of a group share one block.
                "num_hidden_groups",
                "num_hidden_layers",
                "n_layer",
                "n_layers",
                "num_layers",
                "depth",
            ]),
            extra_layers: config.count(&["num_nextn_predict_layers"]).unwrap_or(0),
            hidden: observed.or(config_hidden),
            vocab: config.count(&["vocab_size", "padded_vocab_size"]),
            positions: config.count(&[
                of_tower("max_source_positions", "max_target_positions"),
                "max_position_embeddings",
                "n_positions",
                "n_ctx",
            ]),
            token_types: config.count(&["type_vocab_size"]),
            inner,
            expert_inner: config.count(&["moe_intermediate_size"]).or(inner),
            shared_inner: config.count(&["shared_expert_intermediate_size"]),
            experts: config.count(&["num_local_experts", "num_experts", "n_routed_experts"]),
            heads: heads(config, heads_key, config_hidden.or(observed)),
            value_dim: config.count(&["v_head_dim"]).and_then(|n| n.try_into().ok()),
            config_hidden,
            config,
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
            Dim::Values => heads.map(|h| times(h.query, self.value_dim.unwrap_or(h.head_dim))),
            Dim::Heads => heads.map(|h| u64::from(h.query)),
            Dim::KeyHeads => heads.map(|h| u64::from(h.key_value)),
            Dim::Experts => self.experts,
            Dim::Patches => {
                let [image, patch] =
                    ["image_size", "patch_size"].map(|key| self.config.count(&[key]));
                let side = image?.checked_div(patch?)?;
                side.checked_mul(side)
            }
            Dim::Exactly(n) => Some(n),
            Dim::Key(key) => self.config.count(&[key]),
            Dim::Sum(dims) => {
                dims.iter().try_fold(0_u64, |sum, dim| sum.checked_add(self.of(*dim)?))
            }
            Dim::Product(dims) => {
                dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(self.of(*dim)?))
            }
        }
    }

    /// Whether this block is meant; none is when config.json does not say.
    pub(crate) fn has_block(&self, blocks: Blocks, block: u64) -> bool {
        // No layers at all is a count too, so zero counts here.
        let count = |key: &str| self.config.find(key, whole);
        self.says_which(blocks)
            && match blocks {
                Blocks::All => true,
                Blocks::First => block == 0,
                Blocks::Below(key) => count(key).is_some_and(|n| block < n),
                Blocks::From(key) => count(key).is_some_and(|n| block >= n),
                Blocks::Called(key, word) => self.config.find(key, Some).is_some_and(|names| {
                    let place = usize::try_from(block).unwrap_or(usize::MAX);
                    match names.as_str() {
                        Some(letters) => letters.get(place..).is_some_and(|s| s.starts_with(word)),
                        None => names.items().get(place).and_then(Value::as_str) == Some(word),
                    }
                }),
                Blocks::Listed(key) => self.config.find(key, Some).is_some_and(|numbers| {
                    numbers.items().iter().any(|number| whole(number) == Some(block))
                }),
                Blocks::Every(period, first) => count(period)
                    .zip(count(first))
                    .is_some_and(|(period, first)| block.checked_rem(period) == Some(first)),
                Blocks::NotLast => self.layers.is_some_and(|n| block.saturating_add(1) < n),
                Blocks::Not(blocks) | Blocks::Except(blocks) => !self.has_block(*blocks, block),
            }
    }

    /// Whether config.json has what tells these blocks from others.
    fn says_which(&self, blocks: Blocks) -> bool {
        match blocks {
            Blocks::All | Blocks::First | Blocks::NotLast | Blocks::Except(_) => true,
            Blocks::Below(key)
            | Blocks::From(key)
            | Blocks::Listed(key)
            | Blocks::Called(key, _) => self.config.find(key, Some).is_some(),
            Blocks::Every(period, first) => {
                [period, first].iter().all(|key| self.config.find(key, Some).is_some())
            }
            Blocks::Not(blocks) => self.says_which(*blocks),
        }
    }

    /// The heads of an attention projection `[out, in]`, when its shape agrees with them.
    pub(crate) fn heads_of(&self, role: Role, [out, input]: [u64; 2]) -> Option<Heads> {
        let heads = self.heads?;
        let values = Heads { head_dim: self.value_dim.unwrap_or(heads.head_dim), ..heads };
        let width = |count: u32, heads: &Heads| u64::from(count) * u64::from(heads.head_dim);
        let (agrees, heads) = match role {
            Role::AttentionQ | Role::AttentionQUp => (out == width(heads.query, &heads), heads),
            Role::AttentionK => (out == width(heads.key_value, &heads), heads),
            Role::AttentionV => (out == width(values.key_value, &values), values),
            Role::AttentionQkv => (Some(out) == qkv_width(&heads), heads),
            Role::AttentionO => (input == width(values.query, &values), values),
            _ => return None,
        };
        agrees.then_some(heads)
    }
}

/// Outputs of a fused query, key and value projection.
pub(crate) fn qkv_width(heads: &Heads) -> Option<u64> {
    let [query, key_value, width] = [heads.query, heads.key_value, heads.head_dim].map(u64::from);
    query.checked_add(key_value.checked_mul(2)?)?.checked_mul(width)
}

fn heads(config: Config<'_>, of_tower: &str, hidden: Option<u64>) -> Option<Heads> {
    let query =
        config.count(&[of_tower, "num_attention_heads", "n_head", "n_heads", "num_heads"])?;
    // Falcon's first generation names as many key-value heads as query heads and has one.
    let one = config.flag("multi_query") == Some(true)
        && config.flag("new_decoder_architecture") != Some(true);
    let key_value = config
        .count(if one {
            &["n_head_kv"]
        } else {
            &[
                "num_key_value_heads",
                "n_head_kv",
                "n_kv_head",
                "num_kv_heads",
                "multi_query_group_num",
                "attn_config.kv_n_heads",
            ]
        })
        .unwrap_or(if one { 1 } else { query });
    // Latent attention: a part of each head is turned by the position, and `head_dim` is only that part.
    let latent = || {
        let part = |key| config.count(&[key]);
        part("qk_nope_head_dim")?.checked_add(part("qk_rope_head_dim")?)
    };
    let head_dim = latent()
        .or_else(|| config.count(&["head_dim", "kv_channels", "d_kv", "attention_head_dim"]))
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
