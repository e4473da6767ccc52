//! What a family is: a table of modules, with the shapes they have in terms of the model's sizes.
//!
//! Patterns are names with `{b}` for the block and `{e}` for the expert, matched whole after one of the
//! family's prefixes is taken off. Where modules within a block are counted, `{n}` stands for all further numbers of
//! the name.

use weightscope_core::{Part, Role, Stack};

/// A family of architectures that share names.
#[derive(Debug)]
pub(crate) struct Family {
    /// Name in reports when config.json does not say more precisely.
    pub(crate) name: &'static str,
    /// Values of `model_type` in config.json whose tensors the table lists completely.
    pub(crate) model_types: &'static [&'static str],
    /// Whether the names are of a file format and say nothing of the architecture: any other `model_type` is of the
    /// family too, though its tensors may not be listed completely.
    pub(crate) any_architecture: bool,
    /// Of these, the ones whose head is the token embedding unless config.json says otherwise.
    pub(crate) tied_by_default: &'static [&'static str],
    /// Patterns of which one must be there for the family to be recognised by its names.
    pub(crate) telltales: &'static [&'static str],
    /// What may stand before the patterns.
    pub(crate) prefixes: &'static [&'static str],
    /// The towers: how the patterns of each begin. The first that fits counts; no start fits what belongs to
    /// no tower.
    pub(crate) stacks: &'static [(&'static str, Stack)],
    /// Width of the MLP over the hidden size, where config.json leaves it out.
    pub(crate) inner_per_hidden: Option<u64>,
    /// The modules, in tables that families may share.
    pub(crate) tables: &'static [&'static [Row]],
}

impl Family {
    /// All modules.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Row> {
        self.tables.iter().flat_map(|table| table.iter())
    }

    /// The tower of a pattern; of the empty one, the tower of everything.
    pub(crate) fn stack_of(&self, pattern: &str) -> Option<Stack> {
        self.stacks.iter().find(|(start, _)| pattern.starts_with(start)).map(|(_, stack)| *stack)
    }
}

/// One module of a family: a weight, perhaps with a bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Pattern of the module's name; of the tensor's for [`Spelling::Bare`].
    pub(crate) pattern: &'static str,
    /// What it does.
    pub(crate) role: Role,
    /// Shape of its weight.
    pub(crate) shape: Shape,
    /// How matrices are stored unless their shapes say otherwise.
    pub(crate) storage: Storage,
    /// Names of its tensors.
    pub(crate) spelling: Spelling,
    /// When the weight must be there.
    pub(crate) weight: Need,
    /// When the bias must be there.
    pub(crate) bias: Need,
    /// How the parts of a fused weight lie in it.
    pub(crate) fused: Option<Fused>,
    /// Pattern of the tensor this one is a copy of when embeddings are tied.
    pub(crate) tied_to: Option<&'static str>,
    /// Whether it is that copy in any case.
    pub(crate) always_tied: bool,
    /// Whether it stands outside of the prefix.
    pub(crate) outside: bool,
    /// The blocks that it must be in, if it must be there at all.
    pub(crate) blocks: Blocks,
}

/// Some of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    /// Every one.
    All,
    /// The first.
    First,
    /// As many as config.json has under this key.
    Below(&'static str),
    /// All but as many.
    From(&'static str),
    /// Those that a list or a text in config.json under this key, with an item or a letter for each block, calls so.
    Called(&'static str, &'static str),
    /// One of as many as config.json has under the first key, beginning with the block under the second.
    Every(&'static str, &'static str),
    /// Those whose numbers stand in a list under this key.
    Listed(&'static str),
    /// All but the last.
    NotLast,
    /// All but those.
    Not(&'static Blocks),
    /// The same, and all where config.json does not say which.
    Except(&'static Blocks),
}

/// How a module's tensors are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `<module>.weight` and `<module>.bias`.
    Module,
    /// The same, or `.gamma` and `.beta` as old checkpoints have it.
    Norm,
    /// The pattern is the tensor's whole name.
    Bare(Part),
}

/// A shape in terms of the model's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Not checked.
    Any,
    /// One dimension.
    Vector(Dim),
    /// `[out, in]`, however stored.
    Matrix(Dim, Dim),
    /// `[experts, out, in]`, however stored.
    Stacked(Dim, Dim),
    /// Any other, as stored.
    Tensor(&'static [Dim]),
}

/// A size of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    /// Not checked.
    Any,
    /// Width of the residual stream.
    Hidden,
    /// Tokens.
    Vocab,
    /// Learned positions.
    Positions,
    /// Token types.
    TokenTypes,
    /// Width of the MLP.
    Inner,
    /// Half of `intermediate_size`, which counts gate and up together in the first Qwen.
    HalfInner,
    /// Gate and up together.
    GateUp,
    /// Width of an expert.
    ExpertInner,
    /// Gate and up of an expert together.
    ExpertGateUp,
    /// Width of the expert every token goes through.
    SharedInner,
    /// All query heads.
    Query,
    /// All key (or value) heads.
    KeyValue,
    /// Query, key and value heads together.
    Qkv,
    /// One head.
    HeadWidth,
    /// The values of all query heads.
    Values,
    /// Query heads.
    Heads,
    /// Key-value heads.
    KeyHeads,
    /// Experts.
    Experts,
    /// Squares that an image is cut into.
    Patches,
    /// A fixed size.
    Exactly(u64),
    /// The count under this key of config.json.
    Key(&'static str),
    /// All of them together.
    Sum(&'static [Dim]),
    /// Each of them for each of the others.
    Product(&'static [Dim]),
}

/// How a module stores its matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Storage {
    /// `[out, in]`.
    Linear,
    /// `[in, out]`.
    Conv1d,
    /// A table, `[entries, width]`; never turned.
    Table,
}

/// How the parts of a fused weight lie along its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fused {
    /// All of q, all of k, all of v.
    Qkv,
    /// For each key-value head its queries, its key, its value.
    QkvPerHead,
    /// All of gate, all of up.
    GateUp,
    /// All of up, all of gate.
    UpGate,
}

/// When a tensor must be there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// It may always be absent.
    Never,
    /// Of modules that are counted, wherever others with the same number are there.
    Together,
    /// In every model of the family.
    Always,
    /// When config.json has `true` under this key.
    Flag(&'static str),
    /// Unless config.json has `false` under this key.
    Unless(&'static str),
    /// For these values of `model_type`.
    For(&'static [&'static str]),
    /// When config.json has this count under this key.
    Is(&'static str, u64),
    /// When config.json has something under this key: neither null, false, zero nor empty.
    Has(&'static str),
    /// When the text under this key, or one of a list, contains this word.
    Says(&'static str, &'static str),
    /// When the name of an architecture contains this word.
    Architecture(&'static str),
    /// When one of these holds.
    AnyOf(&'static [Need]),
    /// When all of these hold.
    AllOf(&'static [Need]),
    /// When it does not hold.
    Not(&'static Need),
    /// When the architecture has a language-model head that is not tied.
    UntiedHead,
}

impl Row {
    const fn new(pattern: &'static str, role: Role, shape: Shape) -> Self {
        Self {
            pattern,
            role,
            shape,
            storage: Storage::Linear,
            spelling: Spelling::Module,
            weight: Need::Always,
            bias: Need::Never,
            fused: None,
            tied_to: None,
            always_tied: false,
            outside: false,
            blocks: Blocks::All,
        }
    }

    /// A linear map, stored `[out, in]`.
    pub(crate) const fn linear(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Self {
        Self::new(pattern, role, Shape::Matrix(out, input))
    }

    /// A linear map, stored `[in, out]`.
    pub(crate) const fn conv1d(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Self {
        Self { storage: Storage::Conv1d, ..Self::new(pattern, role, Shape::Matrix(out, input)) }
    }

    /// An embedding table.
    pub(crate) const fn table(pattern: &'static str, role: Role, entries: Dim, width: Dim) -> Self {
        Self { storage: Storage::Table, ..Self::new(pattern, role, Shape::Matrix(entries, width)) }
    }

    /// A convolution, as stored: `[out, in, ...]`.
    pub(crate) const fn conv(pattern: &'static str, shape: &'static [Dim]) -> Self {
        Self::new(pattern, Role::Conv, Shape::Tensor(shape))
    }

    /// A normalisation.
    pub(crate) const fn norm(pattern: &'static str, width: Dim) -> Self {
        Self { spelling: Spelling::Norm, ..Self::new(pattern, Role::Norm, Shape::Vector(width)) }
    }

    /// Experts stacked in one tensor, stored `[experts, in, out]` or `[experts, out, in]`.
    pub(crate) const fn stacked(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Self {
        Self {
            spelling: Spelling::Bare(Part::Weight),
            weight: Need::Never,
            ..Self::new(pattern, role, Shape::Stacked(out, input))
        }
    }

    /// A tensor whose name has no `.weight` or `.bias` of a module; optional.
    pub(crate) const fn bare(pattern: &'static str, role: Role, part: Part, shape: Shape) -> Self {
        Self {
            spelling: Spelling::Bare(part),
            weight: Need::Never,
            ..Self::new(pattern, role, shape)
        }
    }

    /// A position table that is no module: `[1, positions, width]`.
    pub(crate) const fn positions(pattern: &'static str, shape: &'static [Dim]) -> Self {
        Self {
            spelling: Spelling::Bare(Part::Weight),
            storage: Storage::Table,
            ..Self::new(pattern, Role::PositionEmbedding, Shape::Tensor(shape))
        }
    }

    /// A tensor that is not trained; optional.
    pub(crate) const fn buffer(pattern: &'static str) -> Self {
        Self::bare(pattern, Role::Other, Part::Buffer, Shape::Any)
    }

    /// When the weight must be there.
    pub(crate) const fn when(self, weight: Need) -> Self {
        Self { weight, ..self }
    }

    /// Never required.
    pub(crate) const fn optional(self) -> Self {
        Self { weight: Need::Never, bias: Need::Never, ..self }
    }

    /// When the bias must be there.
    pub(crate) const fn bias(self, bias: Need) -> Self {
        Self { bias, ..self }
    }

    /// Its bias must be there whenever its weight must.
    pub(crate) const fn biased(self) -> Self {
        Self { bias: self.weight, ..self }
    }

    /// It holds several maps.
    pub(crate) const fn fused(self, fused: Fused) -> Self {
        Self { fused: Some(fused), ..self }
    }

    /// A copy of the tensor `pattern` when embeddings are tied.
    pub(crate) const fn tied_to(self, pattern: &'static str) -> Self {
        Self { tied_to: Some(pattern), ..self }
    }

    /// A copy of the tensor `pattern`, whatever config.json says.
    pub(crate) const fn copy_of(self, pattern: &'static str) -> Self {
        Self { tied_to: Some(pattern), always_tied: true, ..self }
    }

    /// Only these blocks must have it.
    pub(crate) const fn in_blocks(self, blocks: Blocks) -> Self {
        Self { blocks, ..self }
    }

    /// Its name does not have the prefix of the rest.
    pub(crate) const fn outside(self) -> Self {
        Self { outside: true, ..self }
    }

    /// Its tensors: the end of the name after the pattern, and the part.
    pub(crate) const fn tensors(&self) -> &'static [(&'static str, Part)] {
        match self.spelling {
            Spelling::Module => &[(".weight", Part::Weight), (".bias", Part::Bias)],
            Spelling::Norm => &[
                (".weight", Part::Weight),
                (".bias", Part::Bias),
                (".gamma", Part::Weight),
                (".beta", Part::Bias),
            ],
            Spelling::Bare(Part::Weight) => &[("", Part::Weight)],
            Spelling::Bare(Part::Bias) => &[("", Part::Bias)],
            Spelling::Bare(Part::Scale) => &[("", Part::Scale)],
            Spelling::Bare(Part::ZeroPoint) => &[("", Part::ZeroPoint)],
            Spelling::Bare(Part::Buffer) => &[("", Part::Buffer)],
        }
    }

    /// When its tensor of this part must be there.
    pub(crate) const fn need(&self, part: Part) -> Need {
        match (self.spelling, part) {
            (Spelling::Bare(_), _) | (_, Part::Weight) => self.weight,
            (_, Part::Bias) => self.bias,
            _ => Need::Never,
        }
    }

    /// Shape of its tensor of this part.
    pub(crate) const fn shape_of(&self, part: Part) -> Shape {
        match (self.spelling, part, self.shape) {
            (Spelling::Bare(_), _, shape) | (_, Part::Weight, shape) => shape,
            (
                _,
                Part::Bias,
                Shape::Matrix(out, _) | Shape::Vector(out) | Shape::Tensor(&[out, ..]),
            ) => Shape::Vector(out),
            _ => Shape::Any,
        }
    }
}
