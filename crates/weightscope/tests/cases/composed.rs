//! What conversions do, two at a time, to the fixtures: every pair is told as what it is, and nothing is called training.

use std::path::{Path, PathBuf};

use weightscope::{Compare, DType, EntryId, Report, TensorSource, WalkOptions, open};

use crate::{Tensors, checkpoint_of};

/// The values of a fixture, and its config.json.
fn fixture(name: &str) -> (Tensors, DType, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    let opened = open(std::slice::from_ref(&folder), WalkOptions::default(), false).unwrap();
    let mut tensors = Tensors::new();
    let mut stored = DType::F32;
    for (index, entry) in opened.checkpoint.entries().iter().enumerate() {
        let mut bytes = vec![0; entry.served_bytes() as usize];
        opened
            .checkpoint
            .read_at(EntryId(index as u32), 0..bytes.len() as u64, &mut bytes)
            .unwrap();
        stored = entry.dtype.unwrap();
        let values = match stored {
            DType::BF16 => bytes
                .chunks_exact(2)
                .map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16))
                .collect(),
            _ => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect::<Vec<f32>>(),
        };
        let shape = entry.shape.iter().map(|n| *n as usize).collect();
        tensors.insert(entry.name.clone(), (shape, values));
    }
    // Masks are no weights.
    tensors.retain(|name, _| !name.ends_with(".attn.bias"));
    (tensors, stored, std::fs::read_to_string(folder.join("config.json")).unwrap())
}

/// What a conversion does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Rows,
    Columns,
    Turned,
    Scaled,
    RowsScaled,
    Shifted,
    Regrouped,
    Cut,
    Recast,
}

const STEPS: [Step; 9] = [
    Step::Rows,
    Step::Columns,
    Step::Turned,
    Step::Scaled,
    Step::RowsScaled,
    Step::Shifted,
    Step::Regrouped,
    Step::Cut,
    Step::Recast,
];

impl Step {
    /// Words of which one must be told.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Rows | Self::Columns => &["another order"],
            Self::Turned => &["the other way round"],
            Self::Scaled | Self::RowsScaled => &["multiplied"],
            Self::Shifted => &["plus", "minus", "added"],
            Self::Regrouped => &["joined"],
            Self::Cut => &["lacks", "lack "],
            Self::Recast => &["recast", "rounded"],
        }
    }

    fn apply(self, tensors: &mut Tensors) {
        let is_inner = |name: &str| name.contains("mlp.") || name.contains("attn.");
        for (name, (shape, values)) in tensors.iter_mut() {
            let is_matrix = shape.len() == 2 && is_inner(name);
            let is_norm = name.contains("norm") || name.contains("ln_");
            match (self, &mut shape[..]) {
                (Self::Rows, [rows, columns]) if is_matrix => {
                    let (order, columns) = (shuffled(*rows), *columns);
                    *values = order
                        .iter()
                        .flat_map(|r| values[r * columns..][..columns].to_vec())
                        .collect();
                }
                (Self::Columns, [_, columns]) if is_matrix => {
                    let order = shuffled(*columns);
                    *values = values
                        .chunks(*columns)
                        .flat_map(|row| order.iter().map(|c| row[*c]))
                        .collect();
                }
                (Self::Turned, [rows, columns]) if is_matrix => {
                    *values = (0..*rows * *columns)
                        .map(|i| values[i % *rows * *columns + i / *rows])
                        .collect();
                    std::mem::swap(rows, columns);
                }
                (Self::Scaled, _) if is_matrix => values.iter_mut().for_each(|v| *v *= 2.5),
                (Self::RowsScaled, [_, columns]) if is_matrix => {
                    for (row, line) in values.chunks_mut(*columns).enumerate() {
                        line.iter_mut().for_each(|v| *v *= 0.5 + (row % 7) as f32);
                    }
                }
                (Self::Shifted, _) if is_norm => values.iter_mut().for_each(|v| *v -= 1.0),
                (Self::Cut, [rows, columns]) if name.contains("wte") || name.contains("embed") => {
                    *rows -= 16;
                    values.truncate(*rows * *columns);
                }
                _ => {}
            }
        }
        if self == Self::Regrouped {
            regroup(tensors);
        }
    }
}

/// An order of `count` lines that has no name.
fn shuffled(count: usize) -> Vec<usize> {
    let stride = [101, 53, 37].into_iter().find(|stride| !count.is_multiple_of(*stride)).unwrap();
    (0..count).map(|i| (i * stride + 5) % count).collect()
}

/// Splits what GPT-2 joins, and joins what Llama keeps apart.
fn regroup(tensors: &mut Tensors) {
    for block in 0..12 {
        if let Some((shape, values)) = tensors.remove(&format!("h.{block}.attn.c_attn.weight")) {
            // Stored [in, 3 out]; linear maps are stored [out, in].
            let (input, third) = (shape[0], shape[1] / 3);
            for (part, name) in ["q_proj", "k_proj", "v_proj"].iter().enumerate() {
                let value = |i: usize| values[i % input * shape[1] + part * third + i / input];
                let cut = (0..third * input).map(value).collect();
                tensors.insert(format!("h.{block}.attn.{name}.weight"), (vec![third, input], cut));
            }
            let (shape, values) = tensors.remove(&format!("h.{block}.attn.c_attn.bias")).unwrap();
            let third = shape[0] / 3;
            for (name, cut) in ["q_proj", "k_proj", "v_proj"].iter().zip(values.chunks(third)) {
                tensors.insert(format!("h.{block}.attn.{name}.bias"), (vec![third], cut.to_vec()));
            }
        }
        let mut join = |module: &str, parts: &[&str], joined: &str| {
            let taken = parts.iter().map(|part| {
                tensors.remove(&format!("model.layers.{block}.{module}.{part}.weight"))
            });
            let Some(taken) = taken.collect::<Option<Vec<_>>>() else { return };
            let rows = taken.iter().map(|(shape, _)| shape[0]).sum();
            let shape = vec![rows, taken[0].0[1]];
            let values = taken.into_iter().flat_map(|(_, values)| values).collect();
            tensors
                .insert(format!("model.layers.{block}.{module}.{joined}.weight"), (shape, values));
        };
        join("self_attn", &["q_proj", "k_proj", "v_proj"], "qkv_proj");
        join("mlp", &["gate_proj", "up_proj"], "gate_up_proj");
    }
}

fn write(tensors: &Tensors, dtype: DType, config: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    checkpoint_of(tensors, dtype, Some(config)).write(folder.path()).unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

/// What is wrong with what is told of two steps; `None` where nothing is.
fn wrong(report: &Report, steps: [Step; 2]) -> Option<String> {
    let said: Vec<String> =
        report.conclusions.iter().map(|c| format!("{}: {}", c.code, c.message)).collect();
    let said = said.join("\n");
    let training = ["fine-tuned", "unrelated", "merged-adapter", "lora", "low-rank", "no-verdict"];
    let missing: Vec<&[&str]> = steps
        .iter()
        .map(|step| step.words())
        .filter(|words| !words.iter().any(|word| said.contains(word)))
        .collect();
    let false_words: Vec<&&str> = training.iter().filter(|word| said.contains(**word)).collect();
    // How values lie in files changes none of them.
    let layout_only = steps == [Step::Turned, Step::Regrouped];
    let identical = said.contains("identical:") && !layout_only;
    let fine = missing.is_empty() && false_words.is_empty() && !identical;
    (!fine).then(|| format!("{steps:?}: {false_words:?}, without {missing:?}: {said}"))
}

fn compose(name: &str) {
    let (base, dtype, config) = fixture(name);
    let (_keep, of_base) = write(&base, dtype, &config);
    let other = if dtype == DType::BF16 { DType::F16 } else { DType::BF16 };
    let mut faults = Vec::new();
    for (at, first) in STEPS.into_iter().enumerate() {
        for second in STEPS.into_iter().skip(at + 1) {
            // Both are orders, or both are factors.
            if [first, second] == [Step::Scaled, Step::RowsScaled] {
                continue;
            }
            let mut tuned = base.clone();
            // What is joined cannot be reordered by parts any more, what is split must be.
            let rank = |step: &Step| match step {
                Step::Regrouped if name == "tiny-gpt2" => 0,
                Step::Regrouped => 3,
                Step::Turned => 4,
                _ => 1,
            };
            let mut order = [first, second];
            order.sort_by_key(rank);
            order.iter().for_each(|step| step.apply(&mut tuned));
            let dtype = if second == Step::Recast { other } else { dtype };
            let (_keep, of_tuned) = write(&tuned, dtype, &config);
            let report = Compare::new(&of_base, of_tuned).run().unwrap();
            faults.extend(wrong(&report, [first, second]));
        }
    }
    assert!(faults.is_empty(), "{} of them:\n{}", faults.len(), faults.join("\n\n"));
}

#[test]
fn two_conversions_of_a_gpt2_are_no_training() {
    compose("tiny-gpt2");
}

#[test]
fn two_conversions_of_a_llama_are_no_training() {
    compose("tiny-llama");
}
