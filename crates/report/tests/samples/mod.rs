//! Reports and graphs as tests want them, built without reading a checkpoint.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::borrow::Cow;

use indexmap::IndexMap;
use weightscope_core::*;

pub(crate) static DISTRIBUTION: Descriptor = Descriptor {
    id: "distribution",
    version: 1,
    summary: "Moments, quantiles and distance from a normal distribution",
    metrics: &[
        MetricSpec::new("mean", "", "Arithmetic mean.").trend(),
        MetricSpec::new("std", "", "Population standard deviation.").trend(),
        MetricSpec::new("min", "", "Smallest value."),
        MetricSpec::new("max", "", "Largest value."),
        MetricSpec::new("rms", "", "Root mean square.").siblings(),
        MetricSpec::new("skewness", "", "Third standardised moment, biased (g1)."),
        MetricSpec::new(
            "excess_kurtosis",
            "",
            "Fourth standardised moment less 3, biased. 0 for normal values, positive for heavy tails; undefined when all values are equal.",
        ),
        MetricSpec::new("ks_statistic", "", "Kolmogorov-Smirnov distance from Normal(mean, std)."),
    ],
    parameters: &[],
    findings: &[],
    ..Descriptor::EMPTY
};

pub(crate) static INTEGRITY: Descriptor = Descriptor {
    id: "integrity",
    version: 1,
    summary: "Values that are not finite, copies, and what a cast would lose",
    metrics: &[
        MetricSpec::new("nan_count", "values", "How many are NaN."),
        MetricSpec::new("inf_count", "values", "How many are infinite."),
        MetricSpec::new("constant", "", "Whether all values are equal."),
        MetricSpec::new("content_hash", "", "Hash of the stored bytes."),
    ],
    findings: &[FindingSpec {
        code: "integrity.non-finite",
        severities: &[Severity::Info, Severity::Critical],
        doc: "A weight holds NaN or infinite values. Every product with it is NaN, so the model's output is.",
        advice: "Restore the tensor from an earlier checkpoint, or find the training step that diverged.",
    }],
    ..Descriptor::EMPTY
};

pub(crate) static SPARSITY: Descriptor = Descriptor {
    id: "sparsity",
    version: 2,
    summary: "Zeros, dead rows and columns, and what pruning would cost",
    metrics: &[
        MetricSpec::new("zero_fraction", "", "Share of values that are exactly zero.").trend(),
        MetricSpec::new("below_rms", "", "Share of values below multiples of the rms."),
        MetricSpec::new("dead_rows", "rows", "Rows with a norm of at most 1e-3 of the median."),
        MetricSpec::new("dead_columns", "columns", "The same for columns."),
        MetricSpec::new("nm_2_4_fraction", "", "Groups of 4 along `in` with at least 2 zeros."),
        MetricSpec::new("hoyer", "", "Hoyer's sparsity, 0 (flat) to 1 (one value)."),
        MetricSpec::new("prunable", "", "Largest pruned share that keeps 99 % of the energy."),
    ],
    parameters: &[
        ParameterSpec {
            key: "dead_norm",
            default: 1e-3,
            doc: "A row or column is dead when its norm is at most this share of the median norm.",
        },
        ParameterSpec {
            key: "dead_critical",
            default: 0.05,
            doc: "Share of dead units above which the finding is critical.",
        },
    ],
    findings: &[FindingSpec {
        code: "sparsity.dead-units",
        severities: &[Severity::Warning, Severity::Critical],
        doc: "Rows or columns of a matrix whose norm is at most 1e-3 of the median norm. Random weights of 16 entries or more never show this (probability below 1e-40).",
        advice: "Prune them without loss, or look for a unit that training never reached.",
    }],
    ..Descriptor::EMPTY
};

pub(crate) static DESCRIPTORS: [&Descriptor; 3] = [&DISTRIBUTION, &INTEGRITY, &SPARSITY];

/// A number in 0..1 that depends on its seed alone.
fn noise(seed: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 29;
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn count(n: u64) -> Value {
    Value::map([("count", n.into()), ("first", (0..n.min(16)).collect())])
}

/// A measured weight with plausible numbers.
pub(crate) fn weight(name: &str, role: Role, block: Option<u32>, shape: &[u64]) -> WeightRecord {
    let seed = name.bytes().fold(7u64, |h, b| h.wrapping_mul(31) + u64::from(b));
    let r = |i: u64| noise(seed.wrapping_add(i << 40));
    let part = if name.ends_with("bias") { Part::Bias } else { Part::Weight };
    let elements: u64 = shape.iter().product();
    let std = 0.02 + 0.12 * r(0);
    let distribution: [(&'static str, Value); 8] = [
        ("mean", (1e-3 * (r(1) - 0.5)).into()),
        ("std", std.into()),
        ("min", (-std * (4.0 + 20.0 * r(2))).into()),
        ("max", (std * (4.0 + 20.0 * r(3))).into()),
        ("rms", std.into()),
        ("skewness", (0.2 * (r(4) - 0.5)).into()),
        ("excess_kurtosis", (6.0 * r(5) * r(5)).into()),
        ("ks_statistic", (0.03 * r(6)).into()),
    ];
    let integrity: [(&'static str, Value); 9] = [
        ("nan_count", 0u64.into()),
        ("inf_count", 0u64.into()),
        ("subnormal_count", 0u64.into()),
        ("zero_count", 0u64.into()),
        ("constant", false.into()),
        ("content_hash", format!("{seed:016x}").into()),
        ("f16_overflow_count", 0u64.into()),
        ("f16_flush_count", ((1000.0 * r(7)) as u64).into()),
        ("e4m3_overflow_count", 0u64.into()),
    ];
    let below: Value = [1e-3, 1e-2, 1e-1]
        .into_iter()
        .map(|t: f64| Value::map([("threshold", t.into()), ("fraction", (0.8 * t).into())]))
        .collect();
    let mut sparsity: Vec<(&'static str, Value)> = vec![
        ("zero_fraction", (if r(8) < 0.2 { 1e-7 * r(9) } else { 0.0 }).into()),
        ("below_rms", below),
    ];
    if shape.len() > 1 {
        sparsity.extend([
            ("dead_rows", count(0)),
            ("dead_columns", count(0)),
            ("nm_2_4_fraction", 0.0.into()),
        ]);
    }
    sparsity.extend([("hoyer", (0.2 + 0.05 * r(10)).into()), ("prunable", (0.1 * r(11)).into())]);
    let metrics = |entries: Vec<(&'static str, Value)>| -> Metrics {
        entries.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect()
    };
    WeightRecord {
        name: name.to_owned(),
        other: None,
        source_tensor: name.to_owned(),
        model: 0,
        role,
        part,
        stack: Some(Stack::Decoder),
        block,
        expert: None,
        dtype: "F32".to_owned(),
        stored: None,
        shape: shape.to_vec(),
        matrix: match shape {
            [input, out] => Some([*out, *input]),
            _ => None,
        },
        transposed: shape.len() == 2 && block.is_some(),
        heads: None,
        confidence: Confidence::Known,
        parameters: elements,
        status: WeightStatus::Ok,
        reason: None,
        analyses: IndexMap::from([
            (Cow::Borrowed("distribution"), metrics(distribution.to_vec())),
            (Cow::Borrowed("integrity"), metrics(integrity.to_vec())),
            (Cow::Borrowed("sparsity"), metrics(sparsity)),
        ]),
        undefined: IndexMap::new(),
    }
}

/// Sets one metric of one weight.
pub(crate) fn set(
    report: &mut Report,
    weight: &str,
    analyzer: &'static str,
    metric: &'static str,
    value: impl Into<Value>,
) {
    let weight = report.weights.iter_mut().find(|w| w.name == weight).unwrap();
    let metrics = weight.analyses.entry(Cow::Borrowed(analyzer)).or_default();
    metrics.insert(Cow::Borrowed(metric), value.into());
}

fn gpt2_weights() -> Vec<WeightRecord> {
    let mut weights = vec![
        weight("transformer.wpe.weight", Role::PositionEmbedding, None, &[1024, 768]),
        weight("transformer.wte.weight", Role::TokenEmbedding, None, &[50257, 768]),
    ];
    let parts: [(&str, Role, &[u64]); 12] = [
        ("attn.c_attn.bias", Role::AttentionQkv, &[2304]),
        ("attn.c_attn.weight", Role::AttentionQkv, &[768, 2304]),
        ("attn.c_proj.bias", Role::AttentionO, &[768]),
        ("attn.c_proj.weight", Role::AttentionO, &[768, 768]),
        ("ln_1.bias", Role::Norm, &[768]),
        ("ln_1.weight", Role::Norm, &[768]),
        ("ln_2.bias", Role::Norm, &[768]),
        ("ln_2.weight", Role::Norm, &[768]),
        ("mlp.c_fc.bias", Role::MlpUp, &[3072]),
        ("mlp.c_fc.weight", Role::MlpUp, &[768, 3072]),
        ("mlp.c_proj.bias", Role::MlpDown, &[768]),
        ("mlp.c_proj.weight", Role::MlpDown, &[3072, 768]),
    ];
    for block in 0..12 {
        for (part, role, shape) in parts {
            let name = format!("transformer.h.{block}.{part}");
            weights.push(weight(&name, role, Some(block), shape));
        }
    }
    weights.push(weight("transformer.ln_f.bias", Role::Norm, None, &[768]));
    weights.push(weight("transformer.ln_f.weight", Role::Norm, None, &[768]));
    weights
}

fn gpt2_summary() -> ModelSummary {
    let category = |category, tensors, parameters: u64| CategoryRecord {
        category,
        tensors,
        parameters,
        bytes: 4 * parameters,
    };
    ModelSummary {
        family: "gpt2".to_owned(),
        parameters: 124_439_808,
        parameters_with_tied_copies: 163_037_184,
        tensors: 149,
        bytes: 652_148_736,
        blocks: 12,
        heads: Some(12),
        kv_heads: Some(12),
        head_dim: Some(64),
        hidden_size: Some(768),
        vocab_size: Some(50257),
        categories: vec![
            category(Category::TokenEmbedding, 1, 38_597_376),
            category(Category::PositionEmbedding, 1, 786_432),
            category(Category::Attention, 48, 28_348_416),
            category(Category::FeedForward, 48, 56_669_184),
            category(Category::Norm, 50, 38_400),
        ],
        tie_word_embeddings: Some(true),
        tied: vec![("lm_head.weight".to_owned(), "transformer.wte.weight".to_owned())],
        ..ModelSummary::default()
    }
}

fn source(path: &str, files: &[(&str, u64)]) -> SourceRecord {
    let files =
        files.iter().map(|(name, bytes)| FileRecord { name: (*name).to_owned(), bytes: *bytes });
    SourceRecord {
        path: path.to_owned(),
        format: "safetensors".to_owned(),
        files: files.collect(),
        ..SourceRecord::default()
    }
}

/// A report of nothing.
pub(crate) fn empty() -> Report {
    Report {
        schema: SchemaRecord::default(),
        tool: ToolRecord { name: "weightscope".to_owned(), version: "0.1.0".to_owned() },
        kind: ReportKind::Scan,
        status: Status::Complete,
        sources: vec![source("empty.safetensors", &[("empty.safetensors", 8)])],
        models: vec![ModelSummary { family: "generic".to_owned(), ..ModelSummary::default() }],
        settings: Settings::default(),
        weights: vec![],
        findings: vec![],
        facts: vec![],
        conclusions: vec![],
        figures: vec![],
        errors: vec![],
        totals: Totals::default(),
        timings: None,
    }
}

fn recount(report: &mut Report) {
    let count = |status| report.weights.iter().filter(|w| w.status == status).count() as u64;
    report.totals = Totals {
        declared: report.totals.declared.max(report.weights.len() as u64),
        measured: count(WeightStatus::Ok),
        skipped: count(WeightStatus::Skipped),
        failed: count(WeightStatus::Failed),
        not_measured: Vec::new(),
        findings: FindingCounts::of(&report.findings),
    };
}

/// GPT-2 small without a finding.
pub(crate) fn healthy() -> Report {
    let mut report = Report {
        sources: vec![source("models/gpt2", &[("model.safetensors", 652_165_000)])],
        models: vec![gpt2_summary()],
        weights: gpt2_weights(),
        timings: Some(Timings { seconds: 0.3104, bytes: 497_759_232, threads: 2 }),
        ..empty()
    };
    let analyzers = DESCRIPTORS.iter().map(|d| (Cow::Borrowed(d.id), d.version));
    report.settings.analyzers = analyzers.collect();
    report.conclusions.push(Conclusion {
        nothing: false,
        code: Cow::Borrowed("distribution.trend"),
        analyzer: Cow::Borrowed("distribution"),
        scope: "decoder mlp_down".to_owned(),
        message: "std of decoder mlp_down grows with depth (rho 0.94 over 12 weights)".to_owned(),
        evidence: vec![Evidence {
            weight: None,
            metric: Cow::Borrowed("spearman_rho"),
            value: 0.94,
        }],
    });
    report.figures.push(Figure {
        id: Cow::Borrowed("distribution.histogram"),
        weight: Some("transformer.wte.weight".to_owned()),
        analyzer: Cow::Borrowed("distribution"),
        title: "Values".to_owned(),
        axes: Axes::new("value", "count"),
        data: FigureData::Histogram {
            low: -0.6,
            width: 0.1,
            counts: vec![1, 20, 300, 20, 1],
            below: 0,
            above: 2,
            normal: Some([0.0, 0.1437]),
            statistics: vec![(Cow::Borrowed("mean"), 0.1 + 0.2)],
        },
    });
    recount(&mut report);
    report
}

/// GPT-2 with something of every severity, a known finding, and tensors that could not be read.
pub(crate) fn troubled() -> Report {
    let mut report = healthy();
    set(&mut report, "transformer.h.3.mlp.c_fc.weight", "integrity", "nan_count", 12u64);
    set(&mut report, "transformer.h.3.mlp.c_fc.weight", "integrity", "inf_count", 3u64);
    set(&mut report, "transformer.h.11.mlp.c_proj.weight", "sparsity", "dead_rows", count(1234));
    let dead = Severity::Warning;
    let advice = "prune them without loss, or look for a unit that training never reached";
    report.findings.push(
        Finding::new(
            "integrity.non-finite",
            Severity::Critical,
            Some("transformer.h.3.mlp.c_fc.weight"),
            "12 NaN and 3 infinite values of 2,359,296: every product with this weight is NaN",
        )
        .metric("nan_count", 12.0)
        .threshold(0.0)
        .reference(ReferenceKind::Limit, 0.0)
        .advice("restore the tensor from an earlier checkpoint, or find the training step that diverged"),
    );
    report.findings.push(
        Finding::new(
            "integrity.missing",
            Severity::Critical,
            None,
            "config.json promises transformer.h.5.ln_2.bias, which no file holds",
        )
        .advice("download the checkpoint again"),
    );
    for block in 0..12 {
        let name = format!("transformer.h.{block}.mlp.c_fc.weight");
        let units = 4 + (block * 37) % 90;
        set(&mut report, &name, "sparsity", "dead_rows", count(units));
        report.findings.push(
            Finding::new(
                "sparsity.dead-units",
                dead,
                Some(&name),
                format!("{units} of 3072 rows have a norm of at most 1e-3 of the median"),
            )
            .metric("dead_rows", units as f64)
            .threshold(1.0)
            .reference(ReferenceKind::Gaussian, 0.0)
            .advice(advice),
        );
    }
    report.findings.push(
        Finding::new(
            "distribution.unlike-siblings",
            Severity::Warning,
            Some("transformer.h.0.attn.c_attn.weight"),
            "rms is 4.21 x the median of 12 siblings (z 9.8), also std; it is the first or last block, which often differs in healthy models",
        )
        .metric("rms", 0.61)
        .threshold(0.29)
        .reference(ReferenceKind::Siblings, 0.145)
        .advice("compare it with its neighbours: a restored, rescaled or badly merged layer looks like this"),
    );
    let mut known = Finding::new(
        "sparsity.prunable",
        Severity::Info,
        Some("transformer.h.11.mlp.c_proj.weight"),
        "99 % of the energy lies in 41 % of the values",
    )
    .metric("prunable", 0.59);
    known.known = true;
    report.findings.push(known);
    report.findings.push(
        Finding::new(
            "tokens.untrained",
            Severity::Info,
            Some("transformer.wte.weight"),
            "38 rows look untouched by training",
        )
        .metric("rows", 38.0),
    );
    for (block, reason) in [(7, "truncated"), (8, "truncated")] {
        let name = format!("transformer.h.{block}.mlp.c_proj.weight");
        let weight = report.weights.iter_mut().find(|w| w.name == name).unwrap();
        weight.status = WeightStatus::Failed;
        weight.reason = Some(reason.to_owned());
        weight.analyses.clear();
        report.errors.push(ErrorRecord {
            scope: ErrorScope::Tensor,
            name,
            analyzer: None,
            code: Cow::Borrowed("truncated"),
            message: "needs 9,437,184 bytes, the file ends after 4,096 of them".to_owned(),
        });
    }
    let weight = report.weights.iter_mut().find(|w| w.name == "transformer.ln_f.bias").unwrap();
    weight.status = WeightStatus::Skipped;
    weight.reason = Some("element type F4 is not known".to_owned());
    weight.analyses.clear();
    report.errors.push(ErrorRecord {
        scope: ErrorScope::SideFile,
        name: "model.safetensors.index.json".to_owned(),
        analyzer: None,
        code: Cow::Borrowed("unlisted-shard"),
        message: "the index does not list model-00002.safetensors".to_owned(),
    });
    report.settings.ignore.push(IgnoreRule {
        code: "integrity.duplicate".to_owned(),
        weight: "*".to_owned(),
        reason: "tied on purpose".to_owned(),
    });
    report.status = Status::Partial;
    recount(&mut report);
    report
}

/// Names as an attacker writes them.
pub(crate) const HOSTILE: [&str; 8] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "\u{202e}thgiew.\u{2066}",
    "two\nlines\r\n| and | a | row |",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "`code` **bold** [link](https://evil.test) @everyone #1 www.evil.test",
    "zero\u{200b}width\u{feff}\u{9b}31m\u{7f}",
    "权重.层.一.注意力.查询.权重.权重.层.一.注意力.查询.权重.权重.层.一.注意力.查询",
];

/// A damaged weight, what follows from it, and what asks for nothing.
pub(crate) fn caused() -> Report {
    let mut report = healthy();
    let damaged = "transformer.h.3.mlp.c_fc.weight";
    let mut cause = Finding::new(
        "integrity.damaged",
        Severity::Critical,
        Some(damaged),
        "6 of 18 neighbouring values lie 28,000 times beyond every other value of this role",
    )
    .advice("get the file again");
    cause.explains = 2;
    report.findings.push(cause);
    let of_all = Finding::new("sparsity.dead-units", Severity::Warning, None, "2 units are dead");
    report.findings.push(
        of_all.weights(["transformer.h.0.mlp.c_fc.weight", "transformer.h.1.mlp.c_fc.weight"]),
    );
    for (code, message) in
        [("sparsity.dead-units", "7 dead columns"), ("spectral.rank-deficient", "rank 8 of 128")]
    {
        let mut fact = Finding::new(code, Severity::Critical, Some(damaged), message);
        let weight = Some(damaged.to_owned());
        fact.caused_by = Some(CausedBy { code: "integrity.damaged".into(), weight });
        report.facts.push(fact);
    }
    for block in [0, 1, 2, 3, 7] {
        let name = format!("transformer.h.{block}.attn.c_attn.weight");
        let message = format!("alpha {}.5 over 60 eigenvalues", block % 4);
        report.facts.push(Finding::new("spectral.alpha", Severity::Info, Some(&name), message));
    }
    report
}

/// A report whose every text comes from `names`.
pub(crate) fn named(names: &[String]) -> Report {
    let mut report = Report { status: Status::Partial, ..empty() };
    report.settings.analyzers.insert(Cow::Borrowed("distribution"), 1);
    for name in names {
        let mut record = weight(name, Role::Other, None, &[64, 64]);
        record
            .analyses
            .entry(Cow::Owned(name.clone()))
            .or_default()
            .insert(Cow::Owned(name.clone()), 0.5.into());
        let scheme = Value::map([
            ("scheme", name.clone().into()),
            ("bits_per_weight", 4.5.into()),
            ("sqnr_db", 18.0.into()),
            ("note", name.clone().into()),
        ]);
        let exact = Value::map([
            ("scheme", format!("{name}2").into()),
            ("bits_per_weight", 16.0.into()),
            ("sqnr_db", Value::Null),
            ("note", "lossless".into()),
        ]);
        let schemes = record.analyses.entry(Cow::Borrowed("quantization")).or_default();
        schemes.insert(Cow::Borrowed("schemes"), [scheme, exact].into_iter().collect());
        record.dtype.clone_from(name);
        report.sources.push(SourceRecord {
            path: name.clone(),
            format: name.clone(),
            ..SourceRecord::default()
        });
        record.stored = Some(StoredRecord {
            scheme: name.clone(),
            bits_per_weight: 4.5,
            bytes: 2304,
            parts: vec![name.clone(), name.clone()],
            factor_block: None,
        });
        report.models.push(ModelSummary {
            family: name.clone(),
            stored_as: vec![StoredShare {
                name: name.clone(),
                tensors: 1,
                elements: 4096,
                bytes: 2304,
                bits_per_weight: Some(4.5),
            }],
            ..ModelSummary::default()
        });
        report.findings.push(Finding {
            code: Cow::Owned(format!("distribution.{name}")),
            ..Finding::new("", Severity::Warning, Some(name), name.clone()).advice(name.clone())
        });
        report.errors.push(ErrorRecord {
            scope: ErrorScope::Tensor,
            name: name.clone(),
            analyzer: Some(Cow::Owned(name.clone())),
            code: Cow::Owned(name.clone()),
            message: name.clone(),
        });
        report.conclusions.push(Conclusion {
            nothing: false,
            code: Cow::Borrowed("x.y"),
            analyzer: Cow::Borrowed("x"),
            scope: name.clone(),
            message: name.clone(),
            evidence: vec![],
        });
        report.weights.push(record);
        let mut skipped = weight(&format!("{name}!"), Role::Other, None, &[4]);
        skipped.status = WeightStatus::Skipped;
        skipped.reason = Some(name.clone());
        report.weights.push(skipped);
    }
    recount(&mut report);
    let hidden =
        |name: &String| NotMeasured { tensors: 1, parameters: 4, share: 0.001, why: name.clone() };
    report.totals.not_measured = names.iter().map(hidden).collect();
    report
}

pub(crate) fn hostile() -> Report {
    named(&HOSTILE.map(str::to_owned))
}

/// A file that is no checkpoint.
pub(crate) fn rejected() -> Report {
    Report {
        status: Status::Rejected,
        sources: vec![source("model.safetensors", &[("model.safetensors", 134)])],
        models: vec![],
        errors: vec![ErrorRecord {
            scope: ErrorScope::Shard,
            name: "model.safetensors".to_owned(),
            analyzer: None,
            code: Cow::Borrowed("lfs-pointer"),
            message: "is a Git LFS pointer, not the file itself; run `git lfs pull`".to_owned(),
        }],
        ..empty()
    }
}

/// Stopped after 57 weights.
pub(crate) fn interrupted() -> Report {
    let mut report = Report { status: Status::Interrupted, ..healthy() };
    report.totals.declared = 148;
    report.weights.truncate(57);
    report.conclusions.clear();
    recount(&mut report);
    report
}

/// One scheme of one weight.
fn scheme(name: &'static str, bits: f64, db: Result<f64, &'static str>, normal: f64) -> Value {
    let known = |x: f64| if db.is_ok() { x.into() } else { Value::Null };
    let number = db.unwrap_or(0.0);
    let mut entries = vec![
        ("scheme", name.into()),
        ("bits_per_weight", bits.into()),
        ("sqnr_db", known(number)),
        ("mse", known(1e-3 * 10f64.powf(-number / 10.0))),
        ("max_abs_error", known(1e-2)),
        ("cosine", known(1.0 - 0.5 * 10f64.powf(-number / 10.0))),
        ("excess_db", known(normal - number)),
    ];
    entries.extend(db.err().map(|note| ("note", note.into())));
    Value::Map(entries.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
}

/// GPT-2 with what quantization costs: one weight with outliers, one that F16 cannot hold.
pub(crate) fn quantized() -> Report {
    let mut report = healthy();
    report.settings.analyzers = IndexMap::from([(Cow::Borrowed("quantization"), 1)]);
    let trouble = "transformer.h.2.mlp.c_proj.weight";
    for (i, weight) in report.weights.iter_mut().enumerate() {
        let bad = if weight.name == trouble { 17.0 } else { noise(i as u64) };
        let overflow = weight.name == "transformer.h.7.attn.c_attn.weight";
        let mut schemes = vec![scheme("int8_tensor", 8.0, Ok(36.0 - 3.0 * bad), 40.0)];
        if weight.matrix.is_some() {
            schemes.extend([
                scheme("int8_channel", 8.02, Ok(43.0 - bad), 43.2),
                scheme("int4_g128", 4.125, Ok(20.5 - 0.5 * bad), 20.4),
                scheme("fp8_e4m3_channel", 8.02, Ok(31.5 - 0.1 * bad), 31.5),
            ]);
        }
        let f16 = if overflow { Err("3 values beyond 65504") } else { Ok(73.0) };
        schemes
            .extend([scheme("f16", 16.0, f16, 73.0), scheme("bf16", 16.0, Err("lossless"), 0.0)]);
        if weight.matrix.is_some() {
            schemes.push(scheme("nf4_b64", 4.5, Ok(21.0 - 0.6 * bad), 20.9));
            schemes.push(scheme("gguf_q4_0", 4.5, Ok(20.0 - 0.3 * bad), 19.9));
        }
        let metrics = Metrics::from([
            (Cow::Borrowed("crest_factor"), (5.0 + 3.0 * bad).into()),
            (Cow::Borrowed("outliers_iqr_3"), (2e-3 * bad).into()),
            (Cow::Borrowed("schemes"), schemes.into_iter().collect()),
        ]);
        weight.analyses = IndexMap::from([(Cow::Borrowed("quantization"), metrics)]);
    }
    report.conclusions.clear();
    report.findings.push(
        Finding::new(
            "quantization.outliers",
            Severity::Warning,
            Some(trouble),
            "3.4 % of the values lie beyond 3 interquartile ranges",
        )
        .metric("outliers_iqr_3", 0.034)
        .threshold(0.01)
        .advice("smaller groups, or more bits here"),
    );
    recount(&mut report);
    report
}

/// Two checkpoints, measured by an analyzer nobody described.
pub(crate) fn comparison() -> Report {
    let mut report = healthy();
    report.kind = ReportKind::Compare;
    report.sources.push(source("models/gpt2-tuned", &[("model.safetensors", 652_165_000)]));
    report.models.push(gpt2_summary());
    report.conclusions.clear();
    report.settings.analyzers = IndexMap::from([(Cow::Borrowed("compare"), 1)]);
    for (i, weight) in report.weights.iter_mut().enumerate() {
        let change = 1e-3 * noise(i as u64);
        let metrics = Metrics::from([
            (Cow::Borrowed("relative_l2"), change.into()),
            (Cow::Borrowed("cosine_similarity"), (1.0 - change * change).into()),
            (Cow::Borrowed("changed_fraction"), 0.98.into()),
            (Cow::Borrowed("spectrum"), [1.0, 2.0].into_iter().collect()),
        ]);
        weight.analyses = IndexMap::from([(Cow::Borrowed("compare"), metrics)]);
        weight.other = Some(weight.name.replace("transformer.", "model."));
    }
    report
}

/// The graph that `healthy` would have been read from, with a mask buffer in each block.
pub(crate) fn graph() -> ModelGraph {
    let mut weights: Vec<Weight> = Vec::new();
    let mut push = |record: &WeightRecord, part: Part| {
        weights.push(Weight {
            name: record.name.clone(),
            entry: EntryId(weights.len() as u32),
            source_tensor: record.source_tensor.clone(),
            role: record.role,
            part,
            stack: record.stack,
            block: record.block,
            expert: record.expert,
            dtype: Some(DType::F32),
            shape: record.shape.clone(),
            layout: Layout::whole(1, 1),
            matrix: record.matrix,
            transposed: record.transposed,
            heads: None,
            confidence: Confidence::Known,
            fused: Vec::new(),
            from_one: false,
            factor: None,
        });
    };
    for record in gpt2_weights() {
        push(&record, record.part);
        if record.name.ends_with("attn.c_attn.weight") {
            let name = record.name.replace("c_attn.weight", "bias");
            let mask = weight(&name, Role::Other, record.block, &[1, 1, 1024, 1024]);
            push(&mask, Part::Buffer);
        }
    }
    let mut graph = ModelGraph { weights, summary: gpt2_summary(), pairing: None };
    graph.summary.stored_as = stored_as(&entries(&graph));
    graph
}

/// The tensors that its weights lie in.
pub(crate) fn entries(graph: &ModelGraph) -> Vec<TensorEntry> {
    graph.weights.iter().map(|w| TensorEntry::plain(&w.name, DType::F32, &w.shape)).collect()
}

/// The same with quantised matrices, those of block 3 as codes that nothing decodes.
pub(crate) fn packed_entries(graph: &ModelGraph) -> Vec<TensorEntry> {
    let mut entries = entries(graph);
    for (entry, weight) in entries.iter_mut().zip(&graph.weights) {
        let Some(module) = entry.name.strip_suffix(".weight").filter(|_| weight.shape.len() == 2)
        else {
            continue;
        };
        let parts = ["qweight", "qzeros", "scales"].map(|last| format!("{module}.{last}"));
        entry.bytes = entry.elements * 13 / 24;
        let mut form = StoredForm {
            scheme: "gptq int4 g128".to_owned(),
            parts: parts.to_vec(),
            factor_block: Some([128, 1]),
            unreadable: None,
        };
        if weight.block == Some(3) {
            entry.dtype = None;
            "codes".clone_into(&mut entry.dtype_name);
            "exl2".clone_into(&mut form.scheme);
            form.factor_block = None;
            form.unreadable = Some("codes of exl2 are not decoded".to_owned());
        }
        entry.stored = Some(Box::new(form));
    }
    entries
}

/// Shares of forms over entries, as the graph has them.
pub(crate) fn stored_as(entries: &[TensorEntry]) -> Vec<StoredShare> {
    let mut shares: Vec<StoredShare> = Vec::new();
    for entry in entries {
        let name = entry.stored_type().into_owned();
        let place = shares.iter().position(|share| share.name == name).unwrap_or_else(|| {
            let bits_per_weight = entry.stored_bits();
            shares.push(StoredShare { name, tensors: 0, elements: 0, bytes: 0, bits_per_weight });
            shares.len() - 1
        });
        shares[place].tensors += 1;
        shares[place].elements += entry.elements;
        shares[place].bytes += entry.bytes;
    }
    shares.sort_by_key(|share| std::cmp::Reverse(share.elements));
    shares
}

/// A quantised GPT-2: what is decoded is measured, the codes of block 3 are not.
pub(crate) fn packed() -> Report {
    let graph = graph();
    let entries = packed_entries(&graph);
    let mut report = healthy();
    report.status = Status::Partial;
    report.timings = None;
    for record in &mut report.weights {
        let Some(entry) = entries.iter().find(|e| e.name == record.name && e.stored.is_some())
        else {
            continue;
        };
        let form = entry.stored.as_deref().unwrap();
        record.stored = Some(StoredRecord {
            scheme: form.scheme.clone(),
            bits_per_weight: 8.0 * entry.bytes as f64 / entry.elements as f64,
            bytes: entry.bytes,
            parts: form.parts.clone(),
            factor_block: form.factor_block,
        });
        if let Some(reason) = &form.unreadable {
            "codes".clone_into(&mut record.dtype);
            record.status = WeightStatus::Skipped;
            record.reason = Some(reason.clone());
            record.analyses.clear();
            report.errors.push(ErrorRecord {
                scope: ErrorScope::Tensor,
                name: record.name.clone(),
                analyzer: None,
                code: Cow::Borrowed("not-decoded"),
                message: reason.clone(),
            });
        }
    }
    report.models[0].stored_as = stored_as(&entries);
    recount(&mut report);
    let skipped = report.weights.iter().filter(|w| w.status == WeightStatus::Skipped);
    let parameters = skipped.map(|w| w.parameters).sum::<u64>();
    let all = report.weights.iter().map(|w| w.parameters).sum::<u64>();
    report.totals.not_measured = vec![NotMeasured {
        tensors: report.totals.skipped,
        parameters,
        share: parameters as f64 / all as f64,
        why: "codes of exl2 are not decoded".to_owned(),
    }];
    report
}

pub(crate) fn gpt2_source() -> SourceRecord {
    source("models/gpt2", &[("model.safetensors", 652_165_000)])
}
