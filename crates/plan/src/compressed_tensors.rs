//! Plans for llm-compressor, and the `quantization_config` of the checkpoints that it writes.
//!
//! A scheme is a "config group": targets, which are module names or `re:` patterns matched from the beginning of
//! a name, and the arguments of its weights, as `compressed_tensors.quantization.QuantizationConfig` and
//! `QuantizationArgs` define them. Modules that keep their type are listed under `ignore`, because runtimes want
//! every Linear module either targeted or ignored. Activations keep theirs: the measured error is of weights.

use std::fmt::Write as _;

use indexmap::IndexMap;
use serde::Serialize;

use crate::names::{ascii, module_patterns, plain, quoted};
use crate::plan::Plan;
use crate::tensor::Stored;
use crate::{Class, Scheme};

/// `QuantizationArgs` of weights.
#[derive(Clone, Copy, Debug, Serialize)]
struct Weights {
    num_bits: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    symmetric: bool,
    strategy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_dtype: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Group {
    targets: Vec<String>,
    weights: Weights,
    input_activations: Option<()>,
    output_activations: Option<()>,
    format: &'static str,
}

#[derive(Debug, Serialize)]
struct Config {
    quant_method: &'static str,
    format: &'static str,
    quantization_status: &'static str,
    kv_cache_scheme: Option<()>,
    #[serde(rename = "config_groups")]
    groups: IndexMap<String, Group>,
    ignore: Vec<String>,
}

/// The arguments of a scheme, and the format that its weights are stored in.
fn arguments(scheme: Scheme) -> Option<(Weights, &'static str)> {
    let int = |num_bits, strategy| Weights {
        num_bits,
        kind: "int",
        symmetric: true,
        strategy,
        group_size: scheme.group(),
        scale_dtype: None,
    };
    let float = |num_bits, strategy, scale_dtype| Weights {
        kind: "float",
        scale_dtype,
        ..int(num_bits, strategy)
    };
    Some(match scheme {
        Scheme::Int8Channel => (int(8, "channel"), "pack-quantized"),
        Scheme::Int4Channel => (int(4, "channel"), "pack-quantized"),
        Scheme::Int4G128 | Scheme::Int4G64 | Scheme::Int4G32 => (int(4, "group"), "pack-quantized"),
        Scheme::Int4G128Asym => (Weights { symmetric: false, ..int(4, "group") }, "pack-quantized"),
        Scheme::Fp8E4m3Tensor => (float(8, "tensor", None), "naive-quantized"),
        Scheme::Fp8E4m3Channel => (float(8, "channel", None), "naive-quantized"),
        Scheme::Nvfp4 => {
            (float(4, "tensor_group", Some("torch.float8_e4m3fn")), "nvfp4-pack-quantized")
        }
        Scheme::Mxfp4 => (float(4, "group", Some("torch.uint8")), "mxfp4-pack-quantized"),
        _ => return None,
    })
}

fn config(plan: &Plan) -> Config {
    let mut by_scheme: IndexMap<Scheme, Vec<&Stored>> = IndexMap::new();
    let mut kept: Vec<&Stored> = Vec::new();
    for (tensor, planned) in plan.stored.iter().zip(&plan.tensors) {
        match planned.scheme {
            Some(scheme) => by_scheme.entry(scheme).or_default().push(tensor),
            None if is_linear(tensor) => kept.push(tensor),
            None => {}
        }
    }
    by_scheme.sort_keys();
    let mut groups = IndexMap::new();
    let mut formats: Vec<&str> = Vec::new();
    for (scheme, tensors) in by_scheme {
        let Some((weights, format)) = arguments(scheme) else { continue };
        formats.push(format);
        let group = Group {
            targets: module_patterns(&tensors, &plan.stored),
            weights,
            input_activations: None,
            output_activations: None,
            format,
        };
        groups.insert(format!("group_{}", groups.len()), group);
    }
    formats.dedup();
    let mut ignore = module_patterns(&kept, &plan.stored);
    if plan.tied_head {
        ignore.push("re:(.*\\.)?lm_head$".to_owned());
    }
    Config {
        quant_method: "compressed-tensors",
        format: match formats[..] {
            [] => "dense",
            [one] => one,
            _ => "mixed-precision",
        },
        quantization_status: "compressed",
        kv_cache_scheme: None,
        groups,
        ignore,
    }
}

/// Whether it may be a Linear module, which has to be named when it is left out.
fn is_linear(tensor: &Stored) -> bool {
    matches!(tensor.class, Class::Head | Class::Matrix | Class::Other | Class::Router)
        && tensor.dimensions == 2
        && tensor.module().is_some()
}

/// The `quantization_config` of config.json.
pub(crate) fn quantization_config(plan: &Plan) -> Result<String, serde_json::Error> {
    Ok(ascii(&serde_json::to_string_pretty(&config(plan))?) + "\n")
}

/// A recipe for `llmcompressor.oneshot`.
pub(crate) fn recipe(plan: &Plan) -> String {
    let config = config(plan);
    let mut text = format!("# {}\n", plain(&plan.summary()));
    text.push_str("quant_stage:\n  quant_modifiers:\n    QuantizationModifier:\n");
    list(&mut text, 6, "ignore", &config.ignore);
    text.push_str("      config_groups:\n");
    for (name, group) in &config.groups {
        let _ = writeln!(text, "        {name}:");
        list(&mut text, 10, "targets", &group.targets);
        let weights = group.weights;
        let _ = writeln!(text, "          weights:");
        let mut entry = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "            {key}: {value}");
        };
        entry("num_bits", &weights.num_bits);
        entry("type", &weights.kind);
        entry("symmetric", &weights.symmetric);
        entry("strategy", &weights.strategy);
        if let Some(size) = weights.group_size {
            entry("group_size", &size);
        }
        if let Some(dtype) = weights.scale_dtype {
            entry("scale_dtype", &dtype);
        }
    }
    text
}

fn list(text: &mut String, indent: usize, key: &str, items: &[String]) {
    let space = " ".repeat(indent);
    if items.is_empty() {
        let _ = writeln!(text, "{space}{key}: []");
        return;
    }
    let _ = writeln!(text, "{space}{key}:");
    for item in items {
        let _ = writeln!(text, "{space}  - {}", quoted(item));
    }
}
