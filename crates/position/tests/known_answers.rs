//! Tables whose waves, neighbours and untrained ends are known.

use weightscope_core::{Analyzer, DType, Finding, Output, Parameters, Role, Severity, Value};
use weightscope_position::Position;
use weightscope_testkit::models::{Architecture, Model, ModelSpec};
use weightscope_testkit::{Random, conformance, measure_weight, report_of, weight_of};

#[test]
fn conforms() {
    conformance(&Position);
}

const NAME: &str = "transformer.wpe.weight";

/// A GPT-2 with this table of positions.
fn model(rows: usize, values: Vec<f32>) -> Model {
    let mut model = ModelSpec::new(Architecture::Gpt2).blocks(1).build();
    let table = model.tensor_mut(NAME);
    table.shape = vec![rows as u64, (values.len() / rows) as u64];
    table.values = values;
    model
}

/// What is measured on a table, and what is found.
fn measured(rows: usize, values: Vec<f32>) -> (Output, Vec<Finding>) {
    let report = report_of(&[&Position], &model(rows, values));
    assert_eq!(report.errors, []);
    let weight = report.weights.iter().find(|w| w.name == NAME).unwrap();
    let mut out = Output::default();
    for (key, value) in weight.analyses.get("position").into_iter().flatten() {
        out.metrics.insert(key.clone(), value.clone());
    }
    for (key, why) in &weight.undefined {
        let mut metrics = Position.descriptor().metrics.iter();
        let spec = metrics.find(|m| key.ends_with(&format!(".{}", m.key))).unwrap();
        out.undefined.push((spec.key, why.clone()));
    }
    (out, report.findings)
}

fn number(out: &Output, key: &str) -> f64 {
    out.metrics[key].as_f64().unwrap_or_else(|| panic!("{key} is {:?}", out.metrics[key]))
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.items().iter().map(Value::as_f64).collect()
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

fn tail(out: &Output) -> [u64; 2] {
    ["count", "first"].map(|key| out.metrics["untrained_tail"].get(key).unwrap().as_u64().unwrap())
}

/// Dimensions with waves, trends, chance and nothing.
fn strongest_lines(out: &Output) -> [u64; 4] {
    ["waves", "trends", "chance", "constant"]
        .map(|key| out.metrics["strongest_line"].get(key).unwrap().as_u64().unwrap())
}

/// Sines and cosines in turn, of `waves` whole waves over the table each.
fn sinusoids(rows: usize, waves: &[usize]) -> Vec<f32> {
    let row = |t: usize| {
        waves.iter().flat_map(move |w| {
            let angle = std::f64::consts::TAU * (w * t) as f64 / rows as f64;
            [angle.sin() as f32, angle.cos() as f32]
        })
    };
    (0..rows).flat_map(row).collect()
}

fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| 0.02 * random.normal() as f32).collect()
}

#[test]
fn waves_of_a_sinusoidal_table() {
    let waves = [1, 2, 3, 5, 8, 13, 21, 31];
    for rows in [64, 96, 75] {
        let (out, findings) = measured(rows, sinusoids(rows, &waves));
        let expected: Vec<Option<f64>> =
            waves.iter().flat_map(|w| [(*w > 1).then_some(rows as f64 / *w as f64); 2]).collect();
        // One wave over the table is what a trend looks like.
        assert_eq!(numbers(&out.metrics["dominant_period"]), expected, "{rows} rows");
        // Products of positions are sums of cosines of their distance. F32 leaves 1e-8 of every value.
        assert!((number(&out, "toeplitz_r2") - 1.0).abs() < 1e-12);
        assert!((number(&out, "dominant_share") - 14.0 / 16.0).abs() < 1e-9);
        assert_eq!(strongest_lines(&out), [14, 2, 0, 0]);
        // Sixteen waves of one size, each with a half of the squares.
        assert!((number(&out, "effective_rank") - 16.0).abs() < 1e-6);
        let variance = out.metrics["dimension_variance"].get("values").unwrap();
        assert!(numbers(variance).iter().all(|v| (v.unwrap() - 0.5).abs() < 1e-7));
        assert_eq!(tail(&out), [0, rows as u64]);
        assert_eq!(findings, []);
    }
}

#[test]
fn the_highest_frequency_counts_once() {
    // Half the values of an alternating dimension are +1, half -1: variance 1, all of it at period 2. The slow one
    // has variance 1/2, and of the third the half at period 4 is nowhere near its 9/2 at period 8.
    let angle = |period: usize, t: usize| std::f64::consts::TAU * t as f64 / period as f64;
    let row = |t: usize| {
        let alternating = if t.is_multiple_of(2) { 1.0 } else { -1.0 };
        let both = 3.0 * angle(8, t).cos() + angle(4, t).sin();
        [alternating, angle(16, t).sin() as f32, both as f32]
    };
    let (out, _) = measured(16, (0..16).flat_map(row).collect());
    assert_eq!(numbers(&out.metrics["dominant_period"]), [Some(2.0), None, Some(8.0)]);
    let share = (1.0 + 4.5) / (1.0 + 0.5 + 4.5 + 0.5);
    assert!((number(&out, "dominant_share") - share).abs() < 1e-7);
    let variance = &out.metrics["dimension_variance"];
    let picked = ["lowest", "middle", "highest"].map(|key| {
        let one = variance.get(key).unwrap();
        let value = one.get("variance").unwrap().as_f64().unwrap();
        (one.get("dimension").unwrap().as_u64().unwrap(), (value * 1e6).round() / 1e6)
    });
    assert_eq!(picked, [(1, 0.5), (0, 1.0), (2, 5.0)]);
}

#[test]
fn a_random_table_has_no_order() {
    let (rows, width) = (128, 96);
    let (out, findings) = measured(rows, normal(rows * width, 3));
    let correlations = numbers(&out.metrics["neighbour_correlation"]);
    assert_eq!(correlations.len(), rows - 1);
    // Five standard errors of 1/sqrt 96.
    assert!(correlations.iter().all(|r| r.unwrap().abs() < 0.51));
    assert!(number(&out, "neighbour_correlation_median").abs() < 0.05);
    // The diagonal stands out, and that alone: n w^2 of about n w^2 + n^2 w.
    let share = width as f64 / (width + rows) as f64;
    assert!((number(&out, "toeplitz_r2") - share).abs() < 0.1, "{:?}", out.metrics["toeplitz_r2"]);
    let [waves, trends, chance, constant] = strongest_lines(&out);
    assert_eq!((waves, trends + chance, constant), (0, width as u64, 0));
    assert_eq!(number(&out, "dominant_share"), 0.0);
    assert_eq!((tail(&out), findings), ([0, rows as u64], Vec::new()));
}

#[test]
fn an_untrained_tail_is_found_with_its_length() {
    let (rows, width) = (64, 128);
    // A slow wave in every dimension, with a phase of its own.
    let mut random = Random::new(5);
    let phases: Vec<f64> = (0..width).map(|_| random.uniform(3.0)).collect();
    let smooth: Vec<f32> = (0..rows)
        .flat_map(|t| phases.iter().map(move |p| (p + 0.1 * t as f64).sin() as f32))
        .collect();
    for (count, is_found) in [(0, false), (1, false), (2, true), (13, true), (31, true)] {
        let mut values = smooth.clone();
        let first = rows - count;
        values[first * width..].copy_from_slice(&normal(count * width, 7));
        let (out, findings) = measured(rows, values.clone());
        assert_eq!(tail(&out), [count as u64, first as u64]);
        let codes: Vec<_> = findings.iter().map(|f| (f.severity, f.code.as_ref())).collect();
        let expected: &[_] =
            if is_found { &[(Severity::Info, "position.untrained-tail")] } else { &[] };
        assert_eq!(codes, expected, "{count}");
        if let Some(finding) = findings.first() {
            assert_eq!(finding.weight.as_deref(), Some(NAME));
            let words =
                format!("the last {count} of 64 positions (from {first} on) look initialised");
            assert!(finding.message.starts_with(&words), "{}", finding.message);
        }
        // Rows of zeros correlate with nothing.
        values[first * width..].fill(0.0);
        let (out, _) = measured(rows, values);
        assert_eq!(tail(&out), [count as u64, first as u64]);
        let missing =
            numbers(&out.metrics["neighbour_correlation"]).iter().filter(|r| r.is_none()).count();
        assert_eq!(missing, count);
    }
}

#[test]
fn two_rows_are_no_table() {
    let (out, findings) = measured(2, normal(2 * 64, 1));
    assert!(out.metrics.is_empty() && findings.is_empty());
    // Of three there is little to say, but all of it.
    let (out, _) = measured(3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0, 8.0, 7.0]);
    let correlations = numbers(&out.metrics["neighbour_correlation"]);
    assert!((correlations[0].unwrap() - 1.0).abs() < 1e-15);
    assert!((correlations[1].unwrap() + 1.0).abs() < 1e-15);
    let why = "no dimension has a wave: 3 are trends, less than two waves over all positions, and in 0 no period stands out";
    assert_eq!(reason(&out, "dominant_period"), why);
}

#[test]
fn a_zero_table() {
    let (out, findings) = measured(16, vec![0.0; 16 * 8]);
    assert!(numbers(&out.metrics["neighbour_correlation"]).iter().all(Option::is_none));
    assert_eq!(reason(&out, "dominant_period"), "all positions are equal");
    assert_eq!(strongest_lines(&out), [0, 0, 0, 8]);
    assert_eq!(reason(&out, "neighbour_correlation_median"), "every position is constant");
    assert_eq!(reason(&out, "dominant_share"), "all positions are equal");
    assert_eq!(reason(&out, "toeplitz_r2"), "all inner products are equal");
    assert_eq!(reason(&out, "effective_rank"), "the table is zero");
    assert_eq!((tail(&out), findings), ([0, 16], Vec::new()));
}

#[test]
fn constant_tables() {
    for rows in [3, 7, 16, 40, 129] {
        for width in [3, 10, 33] {
            // All values are equal, or all rows are: then neighbours are the same, and nothing varies.
            for (kind, value) in [0.1f32, 1.0, 3.3, -1e-3, 1e20].into_iter().enumerate() {
                let row = |j: usize| if kind % 2 == 0 { value } else { value * (j + 1) as f32 };
                let values = (0..rows).flat_map(|_| (0..width).map(row)).collect();
                let (out, findings) = measured(rows, values);
                let place = format!("{rows} x {width} of {value}, {:?}", out.metrics);
                let constant = kind % 2 == 0;
                for r in numbers(&out.metrics["neighbour_correlation"]) {
                    assert_eq!(r.is_none(), constant, "{place}");
                    assert!(r.is_none_or(|r| (r - 1.0).abs() < 1e-14), "{place}");
                }
                assert_eq!(reason(&out, "dominant_period"), "all positions are equal", "{place}");
                assert_eq!(reason(&out, "dominant_share"), "all positions are equal", "{place}");
                assert_eq!(reason(&out, "toeplitz_r2"), "all inner products are equal", "{place}");
                assert!((number(&out, "effective_rank") - 1.0).abs() < 1e-6, "{place}");
                let variance = out.metrics["dimension_variance"].get("highest").unwrap();
                assert_eq!(variance.get("variance").unwrap().as_f64(), Some(0.0), "{place}");
                assert_eq!(findings, [], "{place}");
            }
        }
    }
}

#[test]
fn a_constant_dimension_has_no_period() {
    // In F64 the mean of equal numbers need not be that number.
    for value in [0.1f64, 1.0 / 3.0, 1e17 / 7.0] {
        for rows in [5usize, 40, 1000] {
            let mut random = Random::new(1);
            let row = |t| [value, f64::from(t % 2 == 0), random.normal()];
            let bytes = (0..rows).flat_map(row).flat_map(f64::to_le_bytes).collect();
            let table =
                weight_of(Role::PositionEmbedding, DType::F64, [rows as u64, 3], bytes, false);
            let out = measure_weight(&Position, &table, &Parameters::default()).unwrap();
            assert_eq!(strongest_lines(&out)[3], 1, "{value} {rows}");
            if rows > 16 {
                let periods = numbers(&out.metrics["dominant_period"]);
                assert_eq!(periods, [None, Some(2.0), None], "{value} {rows}");
            }
            let lowest = out.metrics["dimension_variance"].get("lowest").unwrap();
            assert_eq!(lowest.get("dimension").unwrap().as_u64(), Some(0));
            assert_eq!(lowest.get("variance").unwrap().as_f64(), Some(0.0), "{value} {rows}");
        }
    }
}

#[test]
fn no_waves_of_values_that_are_not_finite() {
    for bad in [f32::NAN, f32::NEG_INFINITY] {
        let mut values = normal(16 * 64, 1);
        values[77] = bad;
        let (out, findings) = measured(16, values);
        assert!(out.metrics.values().all(Value::is_null));
        assert_eq!(reason(&out, "toeplitz_r2"), "some values are NaN or infinite");
        assert_eq!(findings, []);
    }
}

#[test]
fn a_model_without_a_table_is_said_to_have_none() {
    let none = |architecture| {
        let model = ModelSpec::new(architecture).blocks(2).build();
        let report = report_of(&[&Position], &model);
        report.conclusions.iter().filter(|c| c.code == "position.none").count()
    };
    assert_eq!(none(Architecture::Llama), 1);
    assert_eq!((none(Architecture::Gpt2), none(Architecture::Bert)), (0, 0));
}

/// Walks in every dimension, each step a share `step(position)` of new values.
fn walk(rows: usize, width: usize, seed: u64, step: impl Fn(usize) -> f64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut here: Vec<f64> = (0..width).map(|_| random.normal()).collect();
    let mut values = Vec::with_capacity(rows * width);
    for position in 0..rows {
        let change = step(position);
        let keep = (1.0 - change * change).sqrt();
        for x in &mut here {
            *x = keep * *x + change * random.normal();
            values.push(*x as f32);
        }
    }
    values
}

#[test]
fn a_drift_is_a_trend_and_a_wave_on_it_is_told() {
    let (rows, width) = (256, 64);
    for seed in 0..4 {
        // Steps so small that nothing comes back within the table: a random walk.
        let drift = walk(rows, width, seed, |_| 0.01);
        let (out, findings) = measured(rows, drift.clone());
        let [waves, trends, chance, _] = strongest_lines(&out);
        assert_eq!((waves, trends + chance), (0, 64));
        // The first line of a random walk is the largest in four of five.
        assert!(trends > 40, "{trends}");
        assert!(reason(&out, "dominant_period").starts_with("no dimension has a wave: "));
        assert_eq!((number(&out, "dominant_share"), findings), (0.0, Vec::new()));
        // Seven waves over the table in every eighth dimension.
        let mut values = drift;
        for (index, value) in values.iter_mut().enumerate().filter(|(i, _)| i % width % 8 == 0) {
            let angle = std::f64::consts::TAU * 7.0 * (index / width) as f64 / rows as f64;
            *value += angle.sin() as f32;
        }
        let (out, _) = measured(rows, values);
        let periods = numbers(&out.metrics["dominant_period"]);
        assert_eq!(strongest_lines(&out)[0], 8);
        for (dimension, period) in periods.into_iter().enumerate() {
            assert_eq!(period, (dimension % 8 == 0).then_some(256.0 / 7.0), "{dimension}");
        }
    }
}

fn told(findings: &[Finding]) -> Vec<(&str, &str)> {
    findings.iter().map(|f| (f.code.as_ref(), f.message.as_str())).collect()
}

#[test]
fn a_place_where_neighbours_part_is_told() {
    let parts = |step: f64| {
        measured(256, walk(256, 96, 8, |position| if position < 160 { 0.1 } else { step })).1
    };
    assert_eq!(parts(0.1), []);
    assert_eq!(parts(0.3), [], "a fall of 0.04 is none");
    let findings = parts(0.7);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((&*finding.code, finding.severity), ("position.break", Severity::Info));
    let (start, rest) = finding.message.split_once(" up to 159 and ").unwrap();
    assert!(start.starts_with("positions next to each other correlate 1.00"), "{start}");
    assert!(rest.contains(" from 160 on (medians; 160 positions before, 96 behind)"), "{rest}");
    // Where what follows correlates with nothing, that is told alone.
    let findings = parts(1.0);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!(&*finding.code, "position.untrained-tail");
    // Both, where both are there.
    let three = |position: usize| match position {
        0..100 => 0.1,
        100..200 => 0.7,
        _ => 1.0,
    };
    let findings = measured(256, walk(256, 384, 8, three)).1;
    let codes: Vec<_> = findings.iter().map(|f| &*f.code).collect();
    assert_eq!(codes, ["position.break", "position.untrained-tail"]);
    assert!(findings[0].message.contains("100 positions before, 100 behind"), "{findings:#?}");
}

#[test]
fn what_is_no_break() {
    let none = |what: &str, rows: usize, values: Vec<f32>| {
        assert_eq!(measured(rows, values).1, [], "{what}");
    };
    // Neighbours that part more and more.
    none("a slow decline", 512, walk(512, 128, 1, |t| 0.1 + 0.8 * t as f64 / 512.0));
    // Lower in the middle only, or at a few places.
    none("a dip", 300, walk(300, 128, 2, |t| if (100..200).contains(&t) { 0.7 } else { 0.1 }));
    none("two special positions", 514, walk(514, 128, 3, |t| if t < 3 { 0.9 } else { 0.1 }));
    none("ten at the end", 512, walk(512, 128, 3, |t| if t > 501 { 0.7 } else { 0.1 }));
    none("few and narrow", 32, walk(32, 12, 4, |t| if t < 16 { 0.1 } else { 0.8 }));
    // 14 x 14 patches and one of a class: neighbours part at the end of every row of the grid.
    none("a grid", 197, walk(197, 192, 5, |t| if t % 14 == 1 { 0.9 } else { 0.2 }));
    // A grid of rows and columns, each with embeddings of its own.
    let (down, across) = (walk(16, 128, 6, |_| 0.2), walk(16, 128, 7, |_| 0.2));
    let place = |t: usize, j: usize| down[t / 16 * 128 + j] + across[t % 16 * 128 + j];
    none(
        "a sum",
        256,
        (0..256).flat_map(|t| (0..128).map(move |j| (t, j))).map(|(t, j)| place(t, j)).collect(),
    );
    for seed in 0..8 {
        none("random", 512, normal(512 * 64, seed));
        none("random and narrow", 1024, normal(1024 * 8, seed));
        none("as smooth everywhere", 512, walk(512, 64, seed, |_| 0.6));
    }
    // The table of Attention Is All You Need.
    let angle = |t: usize, j: usize| t as f64 / 1e4f64.powf((j / 2 * 2) as f64 / 64.0);
    let wave = |t, j| if j % 2 == 0 { angle(t, j).sin() } else { angle(t, j).cos() };
    none(
        "sinusoids",
        600,
        (0..600).flat_map(|t| (0..64).map(move |j| wave(t, j) as f32)).collect(),
    );
    // A straight line in every dimension.
    none("ramps", 64, (0..64).flat_map(|t| (0..16).map(move |j| (t * (j + 1)) as f32)).collect());
}

#[test]
fn copies_of_positions_are_told() {
    let width = 48;
    let block = walk(128, width, 9, |_| 0.2);
    let tiled = |special: usize, times: usize| -> Vec<f32> {
        let mut values = normal(special * width, 1);
        (0..times).for_each(|_| values.extend(&block));
        values
    };
    let rows = |values: &[f32]| values.len() / width;
    let message = |values: Vec<f32>| {
        let findings = measured(rows(&values), values).1;
        let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
        assert_eq!((&*finding.code, finding.severity), ("position.repeats", Severity::Info));
        finding.message.clone()
    };
    let why = ": the table was made longer and not trained since";
    assert_eq!(
        message(tiled(0, 2)),
        format!("positions 128 to 255 of 256 are copies of 0 to 127{why}")
    );
    // RoBERTa's first two positions are none.
    assert_eq!(
        message(tiled(2, 8)),
        format!("positions 2 to 1025 of 1026 repeat after every 128{why}")
    );
    // A part of it, somewhere.
    let mut values = walk(300, width, 10, |_| 0.2);
    values.copy_within(20 * width..50 * width, 200 * width);
    assert_eq!(
        message(values.clone()),
        format!("positions 200 to 229 of 300 are copies of 20 to 49{why}")
    );
    // One value apart is no copy.
    for index in 200..230 {
        values[index * width + 7] += 1.0;
    }
    assert_eq!(measured(300, values).1, []);
    // Equal positions side by side were filled in, and three are too few.
    let mut values = block.clone();
    for index in 100..128 {
        values.copy_within(99 * width..100 * width, index * width);
    }
    values.copy_within(10 * width..13 * width, 60 * width);
    let (out, findings) = measured(128, values);
    assert_eq!(
        (told(&findings), out.metrics["copies"].get("count").unwrap().as_u64()),
        (vec![], Some(3))
    );
}

#[test]
fn positions_between_others_are_told() {
    let (rows, width) = (64, 48);
    let original = walk(rows, width, 11, |_| 0.3);
    // Position t of the longer table lies at place(t) of the original one.
    let stretched = |length: usize, place: &dyn Fn(f64) -> f64| -> Vec<f32> {
        let row = |t: usize| {
            let at = place(t as f64).clamp(0.0, (rows - 1) as f64);
            let (first, part) = (at as usize, at.fract() as f32);
            let next = (first + 1).min(rows - 1);
            let original = &original;
            (0..width).map(move |j| {
                let value = |row: usize| original[row * width + j];
                value(first) * (1.0 - part) + value(next) * part
            })
        };
        (0..length).flat_map(row).collect()
    };
    for (what, length, count, values) in [
        ("ends kept, by 2", 127, 63, stretched(127, &|t| t / 2.0)),
        ("ends kept, by 4", 253, 189, stretched(253, &|t| t / 4.0)),
        ("half a position apart, by 2", 128, 62, stretched(128, &|t| 0.5 * t - 0.25)),
        ("half a position apart, by 4", 256, 126, stretched(256, &|t| 0.25 * t - 0.375)),
    ] {
        let (_, findings) = measured(length, values);
        let [(code, message)] = told(&findings)[..] else { panic!("{what}: {findings:#?}") };
        assert_eq!(code, "position.repeats", "{what}");
        let words =
            format!("{count} of {length} positions lie exactly on straight lines between others");
        assert!(message.starts_with(&words), "{what}: {message}");
    }
    assert_eq!(measured(rows, original.clone()).1, []);
}

#[test]
fn a_break_and_copies_in_a_long_table() {
    // Minutes where any of it compares all positions with all, or takes medians of all at every place.
    let (rows, width) = (100_000, 32);
    let mut values = walk(rows, width, 12, |t| if t < 60_000 { 0.05 } else { 0.7 });
    values.copy_within(0..100 * width, 70_000 * width);
    let findings = measured(rows, values).1;
    let [(one, place), (other, copies)] = told(&findings)[..] else { panic!("{findings:#?}") };
    assert_eq!([one, other], ["position.break", "position.repeats"]);
    assert!(place.contains("60000 positions before, 40000 behind"), "{place}");
    assert!(
        copies.starts_with("positions 70000 to 70099 of 100000 are copies of 0 to 99: "),
        "{copies}"
    );
}
