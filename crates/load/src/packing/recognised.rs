//! Ways of packing that are told by their tensors and not decoded: the weight is counted, named and left unmeasured.
//!
//! A kind is one entry of [`KINDS`]. Sources: exllamav2, exllamav3, AQLM, VPTQ, HQQ, quanto, torchao, EETQ, marlin, QQQ,
//! AutoAWQ, ParoQuant, FP-Quant, SpQR, FLUTE (HIGGS), BitBLAS, QuIP#, QTIP.

use weightscope_core::{DType, Orientation, Value, element_count};

use super::{Claim, Packing, Tensors};
use crate::container::StoredTensor;

/// More values than this for each stored byte are no honest shape, even of vector codes.
const MOST_VALUES_A_BYTE: u64 = 64;

/// The packing.
#[derive(Debug)]
pub(crate) struct Recognised;

/// One way of packing.
struct Kind {
    /// The last part of the name of the tensor with the codes.
    lead: &'static str,
    /// What must stand beside it.
    needs: &'static [&'static str],
    /// What may.
    also: &'static [&'static str],
    form: fn(&Group<'_, '_>) -> Option<Form>,
}

/// The tensor with the codes, and those beside it.
struct Group<'a, 't> {
    module: &'a str,
    lead: &'a StoredTensor,
    tensors: &'a Tensors<'t>,
}

/// What is known of the weight.
struct Form {
    /// `None` when it cannot be told.
    shape: Option<Vec<u64>>,
    orientation: Option<Orientation>,
    scheme: String,
    why: String,
}

impl Packing for Recognised {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        KINDS.iter().find_map(|kind| {
            let module = lead.name.strip_suffix(kind.lead)?.strip_suffix('.')?;
            let (codes, _) = tensors.get(&lead.name)?;
            let mut parts = vec![codes];
            for last in kind.needs {
                parts.push(tensors.beside(module, last)?.0);
            }
            let also = kind.also.iter().filter_map(|last| tensors.beside(module, last));
            parts.extend(also.map(|(index, _)| index));
            let form = (kind.form)(&Group { module, lead, tensors })?;
            let most = lead.bytes.saturating_mul(MOST_VALUES_A_BYTE);
            let is_honest =
                |shape: &Vec<u64>| element_count(shape).is_some_and(|count| count <= most);
            let shape = form.shape.filter(is_honest);
            Some(Claim {
                name: format!("{module}.weight"),
                orientation: form.orientation.filter(|_| shape.is_some()),
                shape: shape.unwrap_or_else(|| lead.shape.clone()),
                scheme: form.scheme,
                factor_block: None,
                parts,
                values: Err(form.why),
            })
        })
    }
}

impl<'a> Group<'a, '_> {
    fn side(&self, last: &str) -> Option<&'a StoredTensor> {
        self.tensors.beside(self.module, last).map(|(_, tensor)| tensor)
    }

    /// Elements of a tensor beside the codes.
    fn count(&self, last: &str) -> Option<u64> {
        Some(self.side(last)?.elements)
    }

    /// The only number of a tensor, or the first.
    fn number(&self, last: &str) -> Option<f32> {
        let tensor = self.side(last).filter(|tensor| tensor.elements <= 16)?;
        self.tensors.floats(tensor)?.first().copied()
    }

    /// Codes of 32 bits, as GPTQ's tools and their followers have.
    fn are_words(&self) -> bool {
        matches!(self.lead.dtype(), Some(DType::I32 | DType::U32))
    }

    fn are_bytes(&self) -> bool {
        matches!(self.lead.dtype(), Some(DType::U8 | DType::I8))
    }

    /// The shape of the codes as a matrix with `wide` values for each of its columns and `high` for each row.
    fn scaled(&self, high: u64, wide: u64) -> Option<Vec<u64>> {
        let [rows, columns] = *self.lead.shape else { return None };
        Some(vec![rows.checked_mul(high)?, columns.checked_mul(wide)?])
    }

    fn config(&self, key: &str) -> Option<&Value> {
        self.tensors.quantization()?.get(key)
    }
}

/// A form told in the usual words.
fn form(shape: Option<Vec<u64>>, what: &str, scheme: impl Into<String>, tool: &str) -> Form {
    Form {
        shape,
        orientation: None,
        scheme: scheme.into(),
        why: format!("{what} ({tool}), not decoded"),
    }
}

/// The same of a weight that lies as inputs by output units.
fn turned(shape: Option<Vec<u64>>, what: &str, scheme: impl Into<String>, tool: &str) -> Form {
    Form { orientation: Some(Orientation::InOut), ..form(shape, what, scheme, tool) }
}

/// Bits for codes of one width.
fn bits_of(bits: u64) -> String {
    format!("{bits}-bit codes")
}

static KINDS: &[Kind] = &[
    Kind {
        lead: "trellis",
        needs: &["suh", "svh"],
        also: &["su", "sv", "mcg", "mul1"],
        form: exl3,
    },
    Kind { lead: "trellis", needs: &["su", "sv"], also: &["mcg", "mul1"], form: exl3 },
    Kind {
        lead: "trellis",
        needs: &["SU", "SV"],
        also: &["tlut", "lut", "rcp", "Wscale", "tp_rank", "has_kernel"],
        form: |group| {
            let shape = Some(vec![group.count("SV")?, group.count("SU")?]);
            Some(form(shape, "trellis codes", "qtip", "QTIP"))
        },
    },
    Kind {
        lead: "Qidxs",
        needs: &["SU", "SV"],
        also: &["Wscale", "codebook_id", "fuse_scales", "A", "B", "rank"],
        form: |group| {
            let shape = Some(vec![group.count("SV")?, group.count("SU")?]);
            Some(form(shape, "vector codes", "quip#", "QuIP#"))
        },
    },
    Kind {
        lead: "q_weight",
        needs: &["q_scale", "q_scale_max", "q_groups"],
        also: &["q_perm", "q_invperm", "q_group_map"],
        form: |group| {
            let [_, columns] = *group.lead.shape else { return None };
            let rows = group.count("q_invperm").or_else(|| group.count("q_perm"));
            let shape = rows.map(|rows| vec![rows, columns]);
            Some(turned(shape, "codes of 2 to 8 bits", "exl2", "exl2"))
        },
    },
    Kind { lead: "codes", needs: &["codebooks", "scales"], also: &[], form: aqlm },
    Kind {
        lead: "indices",
        needs: &["centroids.weight"],
        also: &[
            "res_centroids.weight",
            "res_indices",
            "outlier_centroids.weight",
            "outlier_indices",
            "perm",
            "invert_perm",
            "weight_scale",
            "weight_bias",
        ],
        form: |group| {
            let layer = group.config("config_for_layers").and_then(|all| all.get(group.module));
            let side = |key: &str| layer?.get(key)?.as_u64();
            let shape = side("out_features").zip(side("in_features"));
            Some(form(shape.map(|(out, input)| vec![out, input]), "vector codes", "vptq", "VPTQ"))
        },
    },
    Kind { lead: "W_q", needs: &["scale"], also: HQQ, form: hqq },
    Kind { lead: "W_q", needs: &["meta"], also: HQQ, form: hqq },
    Kind {
        lead: "weight._data",
        needs: &["weight._scale"],
        also: &["weight._shift", "weight._zeropoint", "input_scale", "output_scale"],
        form: quanto,
    },
    Kind { lead: "_weight_qdata", needs: &["_weight_scale"], also: TORCHAO, form: torchao },
    Kind {
        lead: "_weight_qdata",
        needs: &["_weight_scale_and_zero"],
        also: TORCHAO,
        form: torchao,
    },
    Kind {
        lead: "weight",
        needs: &["weight_scales"],
        also: &[],
        form: |group| {
            let is_int8 = group.lead.dtype() == Some(DType::I8) && group.lead.shape.len() == 2;
            let shape = is_int8.then(|| group.lead.shape.clone())?;
            Some(turned(Some(shape), "8-bit codes in tiles of a GPU", "eetq int8", "EETQ"))
        },
    },
    Kind {
        lead: "weight",
        needs: &["tables2", "scales"],
        also: &["tables", "workspace"],
        form: |group| {
            let [rows, columns] = *group.lead.shape else { return None };
            let entries = *group.side("tables2")?.shape.first()?;
            let bits = u64::from(entries.checked_ilog2().filter(|bits| (1..=8).contains(bits))?);
            let rows = rows.checked_mul(16)?.checked_div(bits)?;
            let shape = Some(vec![rows, columns]);
            let what = format!("{} of rotated weights", bits_of(bits));
            Some(turned(shape, &what, format!("higgs {bits}-bit"), "HIGGS"))
        },
    },
    Kind { lead: "B", needs: &["s"], also: &["workspace"], form: |group| marlin(group, "s") },
    Kind {
        lead: "B",
        needs: &["s_channel"],
        also: &["s_group", "workspace"],
        form: |group| marlin(group, "s_channel"),
    },
    Kind {
        lead: "qweight",
        needs: &["forward_hadamard_matrix"],
        also: &[
            "scales",
            "weight_global_scale",
            "act_global_scale",
            "backward_hadamard_matrix",
            "dqweight",
        ],
        form: |group| {
            let shape = group.are_bytes().then(|| group.scaled(1, 2))?;
            Some(form(shape, "4-bit codes of rotated weights", "fp-quant", "FP-Quant"))
        },
    },
    Kind {
        lead: "qweight",
        needs: &["theta", "scales"],
        also: &["pairs", "qzeros", "channel_scales"],
        form: |group| {
            let shape = group.scaled(1, 8);
            Some(turned(shape, "4-bit codes of rotated weights", "paroquant", "ParoQuant"))
        },
    },
    Kind { lead: "qweight", needs: &["scales"], also: &["qzeros", "zeros", "g_idx"], form: words },
    Kind {
        lead: "dense_weights",
        needs: &["row_offsets", "col_vals"],
        also: &["in_perm"],
        form: |_| Some(form(None, "3-bit codes and outliers", "spqr", "SpQR")),
    },
];

/// What HQQ stores beside its codes.
const HQQ: &[&str] = &[
    "scale",
    "zero",
    "meta",
    "shape",
    "nbits",
    "group_size",
    "axis",
    "packing",
    "view_as_float",
    "unpack_view_dtype",
    "compute_dtype",
    "channel_wise",
    "optimize",
    "round_zero",
    "quant_scale",
    "quant_zero",
    "scale_q",
    "zero_q",
    "meta_scale",
    "meta_zero",
    "offload_meta",
    "encoded_state_dict",
    "stores_quant_config",
];

/// What torchao stores beside its codes.
const TORCHAO: &[&str] = &[
    "_weight_scale",
    "_weight_zero_point",
    "_weight_scale_and_zero",
    "_weight_act_pre_scale",
    "_weight_per_tensor_scale",
    "_weight_act_per_tensor_scale",
];

/// Tiles of 16 x 16 values, each of 16 words of 16 bits for every bit of a code.
fn exl3(group: &Group<'_, '_>) -> Option<Form> {
    let [down, across, words] = *group.lead.shape else { return None };
    let bits = words.checked_div(16)?;
    let shape = Some(vec![down.checked_mul(16)?, across.checked_mul(16)?]);
    Some(turned(shape, &format!("{bits}-bit trellis codes"), format!("exl3 {bits}-bit"), "exl3"))
}

/// Codes [out/g, in/h, n] of codebooks [n, entries, g, h].
fn aqlm(group: &Group<'_, '_>) -> Option<Form> {
    let [down, across, count] = *group.lead.shape else { return None };
    let [_, entries, high, wide] = *group.side("codebooks")?.shape else { return None };
    let shape = Some(vec![down.checked_mul(high)?, across.checked_mul(wide)?]);
    let bits = entries.checked_ilog2()?;
    Some(form(shape, "vector codes", format!("aqlm {count}x{bits}"), "AQLM"))
}

fn hqq(group: &Group<'_, '_>) -> Option<Form> {
    group.lead.dtype()?;
    let bits = group.number("nbits").filter(|bits| (1.0..=8.0).contains(bits));
    let shape = group.side("shape").filter(|tensor| (1..=4).contains(&tensor.elements));
    let side = |x: &f32| -> Option<u64> {
        // Beyond 2^24 an f32 skips integers; no side of a matrix is that long.
        #[expect(clippy::cast_possible_truncation, reason = "an integer in range")]
        #[expect(clippy::cast_sign_loss, reason = "an integer in range")]
        let side = *x as u64;
        (*x >= 1.0 && *x <= 16_777_216.0).then_some(side)
    };
    let shape = shape.and_then(|tensor| group.tensors.floats(tensor)?.iter().map(side).collect());
    let (what, scheme) = match bits {
        Some(bits) => (format!("{bits}-bit codes"), format!("hqq int{bits}")),
        None => ("codes".to_owned(), "hqq".to_owned()),
    };
    Some(form(shape, &what, scheme, "HQQ"))
}

fn quanto(group: &Group<'_, '_>) -> Option<Form> {
    let is_packed = group.lead.dtype() == Some(DType::U8);
    if !is_packed {
        let scheme = if group.lead.dtype() == Some(DType::I8) { "quanto int8" } else { "quanto" };
        return Some(form(Some(group.lead.shape.clone()), "8-bit codes", scheme, "quanto"));
    }
    let told = group.config("weights").and_then(Value::as_str);
    let bits = if told == Some("int2") { 2 } else { 4 };
    // Rows are packed together; how they were grouped is not told, the number of values is.
    let shape = group.scaled(8u64.checked_div(bits)?, 1);
    Some(form(shape, &bits_of(bits), format!("quanto int{bits}"), "quanto"))
}

fn torchao(group: &Group<'_, '_>) -> Option<Form> {
    let (shape, bits) = match (group.lead.dtype()?, &*group.lead.shape) {
        (DType::U8, [_, _]) => (group.scaled(1, 2), 4),
        // Tiles of tensor cores: [out/8, in/(16 k), 32, k/2] words of eight codes.
        (DType::I32 | DType::U32, [out, input, _, half]) => {
            let input = input.checked_mul(*half)?.checked_mul(32)?;
            (Some(vec![out.checked_mul(8)?, input]), 4)
        }
        (dtype, _) if dtype.bits() == 8 => (Some(group.lead.shape.clone()), 8),
        _ => return Some(form(None, "codes", "torchao", "torchao")),
    };
    Some(form(shape, &bits_of(bits), format!("torchao {bits}-bit"), "torchao"))
}

/// Tiles of 16 inputs; the factors tell the output units.
fn marlin(group: &Group<'_, '_>, factors: &str) -> Option<Form> {
    let [down, across] = *group.lead.shape else { return None };
    let [_, columns] = *group.side(factors)?.shape else { return None };
    let bits = across.checked_mul(2)?.checked_div(columns)?;
    if !group.are_words() || !matches!(bits, 2 | 4 | 8) {
        return None;
    }
    let shape = Some(vec![down.checked_mul(16)?, columns]);
    let tool = if factors == "s" { "marlin" } else { "QQQ" };
    let scheme = format!("{} int{bits}", tool.to_ascii_lowercase());
    Some(turned(shape, &format!("{} in tiles of a GPU", bits_of(bits)), scheme, tool))
}

/// What the layouts of GPTQ and AWQ do not explain.
fn words(group: &Group<'_, '_>) -> Option<Form> {
    let [rows, columns] = *group.lead.shape else {
        return Some(form(None, "codes of more than two dimensions", "qweight", "GPTQ or AWQ"));
    };
    let [factors, across] = *group.side("scales")?.shape else {
        return Some(form(None, "codes whose factors do not fit", "qweight", "GPTQ or AWQ"));
    };
    let told = |key: &str| group.config(key).and_then(Value::as_str).unwrap_or("");
    let version = told("version").to_ascii_lowercase();
    let bits = group.config("bits").and_then(Value::as_u64).unwrap_or(4);
    let bits = bits.clamp(1, 8);
    if version.contains("gemv") || version.contains("llm-awq") {
        let is_fast = group.lead.dtype() == Some(DType::I16);
        let shape = if is_fast { group.scaled(4, 1) } else { group.scaled(1, 8) };
        return Some(form(shape, "4-bit codes", "awq gemv", "AWQ gemv"));
    }
    let is_awq = group.tensors.method() == Some("awq");
    if group.are_words()
        && columns == across.saturating_mul(2)
        && told("checkpoint_format") == "marlin"
        || group.are_words()
            && is_awq
            && version.contains("marlin")
            && columns == across.saturating_mul(2)
    {
        let shape = Some(vec![rows.checked_mul(16)?, across]);
        return Some(turned(shape, "4-bit codes in tiles of a GPU", "marlin int4", "marlin"));
    }
    if group.are_bytes() && factors == rows {
        let shape = group.scaled(1, 8u64.checked_div(bits)?);
        return Some(form(shape, &bits_of(bits), format!("bitblas int{bits}"), "BitBLAS"));
    }
    if is_awq && group.are_words() && factors == rows {
        return Some(form(group.scaled(1, 8), "4-bit codes", "awq gemv", "AWQ gemv"));
    }
    Some(form(None, "codes whose parts do not fit", "qweight", "GPTQ or AWQ"))
}
