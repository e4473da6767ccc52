//! Reports to look at: a real one with hostile names and a figure of every kind, and two large ones.

use std::path::Path;

use anyhow::{Context as _, Result};
use weightscope::{
    Axes, BoxStatistics, Cells, Figure, FigureData, Finding, HeatMap, Key, PORTRAITS, Report, Role,
    RunOptions, Scan, Series, Severity, Ticks, Value, WeightRecord, builtin_registry, rejudge,
};

/// What names must never do.
pub(crate) const HOSTILE: [&str; 2] =
    ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"];

/// The fixture as `scan -o` sees it.
fn scanned(root: &Path, fixture: &str) -> Result<Report> {
    let options = RunOptions { portraits: PORTRAITS, timings: false, ..RunOptions::default() };
    let scan = Scan::new([root.join("fixtures").join(fixture)]).options(options);
    let mut report = scan.run().context("the fixture cannot be scanned")?;
    for source in &mut report.sources {
        source.path = format!("models/{fixture}");
    }
    Ok(report)
}

/// GPT-2 in small, with two weights renamed by an attacker and a plugin's figures of every kind.
pub(crate) fn demonstration(root: &Path) -> Result<Report> {
    let mut report = scanned(root, "tiny-gpt2")?;
    let places = ["h.0.attn.c_proj.weight", "h.3.mlp.c_fc.weight"];
    for (old, new) in places.iter().zip(HOSTILE) {
        rename(&mut report, old, new);
    }
    report.figures.extend(every_kind());
    Ok(report)
}

fn rename(report: &mut Report, old: &str, new: &str) {
    let names = report.weights.iter_mut().map(|w| &mut w.name);
    let found = report.findings.iter_mut().filter_map(|f| f.weight.as_mut());
    let drawn = report.figures.iter_mut().filter_map(|f| f.weight.as_mut());
    let stated = report.conclusions.iter_mut().flat_map(|c| &mut c.evidence);
    let stated = stated.filter_map(|e| e.weight.as_mut());
    for name in names.chain(found).chain(drawn).chain(stated).filter(|name| *name == old) {
        new.clone_into(name);
    }
}

/// A figure of each kind with hostile words wherever words go.
fn every_kind() -> Vec<Figure> {
    let hostile = || HOSTILE.map(str::to_owned).to_vec();
    let series = |i: usize| Series {
        name: HOSTILE.get(i % 2).map_or_else(String::new, |name| (*name).to_owned()),
        x: (0..40).map(f64::from).collect(),
        y: (0..40).map(|x| Some((f64::from(x) / (5.0 + i as f64)).sin() + 1.5)).collect(),
    };
    let two = || vec![series(0), series(1)];
    let map = |names: bool, signed: bool| {
        let ticks = || {
            if names {
                Ticks::Names { names: hostile() }
            } else {
                Ticks::Lines { first: 0, step: 16 }
            }
        };
        let side = if names { 2 } else { 48u32 };
        let value = |i: u32| (f64::from(i) * 0.37).sin() + if signed { 0.0 } else { 1.0 };
        let values: Vec<f64> = (0..side * side).map(value).collect();
        let cells = if names {
            Cells::values(values)
        } else {
            Cells::levels(&values, if signed { [-0.9, 0.9] } else { [0.0, 2.0] })
        };
        let size = [u64::from(side); 2];
        let pooling = Key::Borrowed(if names { "" } else { "root mean square" });
        FigureData::Heatmap(HeatMap { size, rows: ticks(), columns: ticks(), pooling, cells })
    };
    let kinds = [
        FigureData::Line { series: two() },
        FigureData::Scatter { series: two() },
        FigureData::Histogram {
            low: -3.0,
            width: 0.1,
            counts: (0..60)
                .map(|i| (400.0 * (-((f64::from(i) - 30.0) / 9.0).powi(2)).exp()) as u64)
                .collect(),
            below: 3,
            above: 1,
            normal: Some([0.0, 0.64]),
            statistics: vec![(Key::Borrowed("<b>mean</b>"), 0.25)],
        },
        map(false, true),
        map(false, false),
        map(true, true),
        FigureData::Bar { labels: hostile(), values: vec![3.0, 5.0] },
        FigureData::Box {
            boxes: HOSTILE
                .map(|name| BoxStatistics {
                    name: name.to_owned(),
                    five: [0.0, 1.0, 2.0, 3.5, 6.0],
                })
                .to_vec(),
        },
        FigureData::Violin { series: two() },
        FigureData::Dendrogram {
            labels: vec![HOSTILE.concat(), "b".to_owned(), "c".to_owned()],
            merges: vec![[0.0, 2.0, 0.4, 2.0], [1.0, 3.0, 1.1, 3.0]],
        },
    ];
    let figures = kinds.into_iter().enumerate().map(|(i, data)| Figure {
        id: Key::Owned(format!("plugin.sample_{i}")),
        weight: None,
        analyzer: Key::Borrowed("plugin"),
        title: format!("Sample {i} {}", HOSTILE.concat()),
        axes: Axes::new("<i>x</i>", "<a href=\"javascript:alert(1)\">y</a>"),
        data,
    });
    figures.collect()
}

/// Name, role and the weight of the small Llama that it is modelled on.
type Model = (String, Role, &'static str);

/// Llama-7B's names with the small Llama's numbers: 291 weights, each with figures.
pub(crate) fn dense(root: &Path) -> Result<Report> {
    let block = |block: u32| {
        let parts = [
            ("input_layernorm", Role::Norm, "input_layernorm"),
            ("post_attention_layernorm", Role::Norm, "post_attention_layernorm"),
            ("self_attn.q_proj", Role::AttentionQ, "self_attn.q_proj"),
            ("self_attn.k_proj", Role::AttentionK, "self_attn.k_proj"),
            ("self_attn.v_proj", Role::AttentionV, "self_attn.v_proj"),
            ("self_attn.o_proj", Role::AttentionO, "self_attn.o_proj"),
            ("mlp.gate_proj", Role::MlpGate, "mlp.gate_proj"),
            ("mlp.up_proj", Role::MlpUp, "mlp.up_proj"),
            ("mlp.down_proj", Role::MlpDown, "mlp.down_proj"),
        ];
        let name = move |part: &str| format!("model.layers.{block}.{part}.weight");
        parts.map(|(part, role, model)| (name(part), role, model)).to_vec()
    };
    grown(root, "models/llama-7b", 32, block)
}

/// A mixture of experts: 48 blocks of 32 experts, 5,000 weights.
pub(crate) fn mixture(root: &Path) -> Result<Report> {
    let block = |block: u32| {
        let name = |part: String| format!("model.layers.{block}.{part}.weight");
        let mut models: Vec<Model> = [
            ("input_layernorm", Role::Norm),
            ("post_attention_layernorm", Role::Norm),
            ("self_attn.q_proj", Role::AttentionQ),
            ("self_attn.k_proj", Role::AttentionK),
            ("self_attn.v_proj", Role::AttentionV),
            ("self_attn.o_proj", Role::AttentionO),
        ]
        .map(|(part, role)| (name(part.to_owned()), role, part))
        .to_vec();
        models.push((name("block_sparse_moe.gate".to_owned()), Role::Router, "self_attn.k_proj"));
        let factors = [
            ("w1", Role::MlpGate, "mlp.gate_proj"),
            ("w2", Role::MlpDown, "mlp.down_proj"),
            ("w3", Role::MlpUp, "mlp.up_proj"),
        ];
        for expert in 0..32 {
            models.extend(factors.map(|(part, role, model)| {
                (name(format!("block_sparse_moe.experts.{expert}.{part}")), role, model)
            }));
        }
        models
    };
    grown(root, "models/mixture", 49, block)
}

/// A report with the small Llama's numbers, a little different for every weight, judged anew.
fn grown(root: &Path, path: &str, blocks: u32, of: impl Fn(u32) -> Vec<Model>) -> Result<Report> {
    let small = scanned(root, "tiny-llama")?;
    let mut report = Report { weights: Vec::new(), figures: Vec::new(), ..small.clone() };
    for weight in small.weights.iter().filter(|w| w.block.is_none()) {
        report.weights.push(weight.clone());
        report.figures.extend(figures(&small, &weight.name, &weight.name));
    }
    for block in 0..blocks {
        for (name, role, model) in of(block) {
            let modelled = format!("model.layers.{}.{model}.weight", block % 12);
            let found = small.weights.iter().find(|w| w.name == modelled);
            let found = found.with_context(|| format!("the fixture has no {modelled}"))?;
            let mut words = name.split('.').skip_while(|word| *word != "experts").skip(1);
            let expert = words.next().and_then(|word| word.parse().ok());
            let seed = report.weights.len() as u64;
            let weight = WeightRecord { name, role, block: Some(block), expert, ..found.clone() };
            report.figures.extend(figures(&small, &modelled, &weight.name));
            report.weights.push(jittered(weight, seed));
        }
    }
    for source in &mut report.sources {
        path.clone_into(&mut source.path);
    }
    for model in &mut report.models {
        model.blocks = u64::from(blocks);
        model.tensors = report.weights.len() as u64;
    }
    report.totals.declared = report.weights.len() as u64;
    rejudge(&mut report, &builtin_registry().analyzers());
    // As many weights are drawn whole as ever are.
    let step = report.weights.len() / PORTRAITS;
    for weight in report.weights.iter().filter(|w| w.matrix.is_some()).step_by(step.max(1)) {
        let message = "made up, so that this weight is drawn";
        let finding =
            Finding::new("sparsity.dead-units", Severity::Warning, Some(&weight.name), message);
        report.findings.push(finding.advice("nothing"));
    }
    Ok(report)
}

/// The figures of a weight under another name, as large as those of a weight of a few thousand rows.
fn figures(small: &Report, model: &str, name: &str) -> Vec<Figure> {
    let own = small.figures.iter().filter(|f| f.weight.as_deref() == Some(model));
    own.map(|figure| {
        let mut figure = Figure { weight: Some(name.to_owned()), ..figure.clone() };
        match &mut figure.data {
            FigureData::Line { series } | FigureData::Scatter { series } => {
                for series in series.iter_mut().filter(|s| s.x.len() > 2) {
                    stretch(series, 2048);
                }
            }
            FigureData::Heatmap(map) => {
                let side = |n: u64, ticks: &Ticks| match ticks {
                    Ticks::Lines { .. } => 256,
                    Ticks::Names { .. } => n,
                };
                map.size = [side(map.size[0], &map.rows), side(map.size[1], &map.columns)];
                let values: Vec<f64> =
                    (0..map.size[0] * map.size[1]).map(|i| (i as f64 * 0.917).sin()).collect();
                map.cells = Cells::levels(&values, [-1.0, 1.0]);
            }
            _ => {}
        }
        figure
    })
    .collect()
}

/// Points between the points.
fn stretch(series: &mut Series, points: usize) {
    let last = (series.x.len().min(series.y.len()) - 1) as f64;
    let place = |i: usize| last * i as f64 / (points - 1) as f64;
    let between = |i: usize, at: &dyn Fn(usize) -> Option<f64>| {
        let place = place(i);
        let (low, share) = (place.floor(), place.fract());
        let (a, b) = (at(low as usize)?, at((low as usize + 1).min(last as usize))?);
        Some(a + (b - a) * share)
    };
    let (x, y) = (series.x.clone(), series.y.clone());
    series.x = (0..points).filter_map(|i| between(i, &|at| x.get(at).copied())).collect();
    series.y = (0..points).map(|i| between(i, &|at| *y.get(at)?)).collect();
}

/// The same numbers with a different last digit or two, so that columns do not compress to one value.
fn jittered(mut weight: WeightRecord, seed: u64) -> WeightRecord {
    let noise = |i: u64| {
        let x = (seed * 8191 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        1.0 + 0.02 * ((x >> 11) as f64 / (1u64 << 53) as f64 - 0.5)
    };
    let mut i = 0;
    if let Some(integrity) = weight.analyses.get_mut("integrity") {
        // Else every weight would be a copy of its model.
        integrity.insert(Key::Borrowed("content_hash"), format!("{seed:032x}").into());
        integrity.shift_remove("sketch");
    }
    for value in weight.analyses.values_mut().flat_map(|metrics| metrics.values_mut()) {
        jitter(value, &mut i, &noise);
    }
    weight
}

fn jitter(value: &mut Value, i: &mut u64, noise: &impl Fn(u64) -> f64) {
    *i += 1;
    match value {
        Value::Number(x) => *x *= noise(*i),
        Value::List(items) => items.iter_mut().for_each(|item| jitter(item, i, noise)),
        // Thresholds are keys, not measurements.
        Value::Map(entries) => {
            for (_, item) in entries.iter_mut().filter(|(k, _)| *k != "threshold" && *k != "pruned")
            {
                jitter(item, i, noise);
            }
        }
        _ => {}
    }
}
