//! Two checkpoints that differ by what conversions do, and by what training does.

use weightscope::{Compare, DType, Report};
use weightscope_testkit::Random;

use crate::{CONFIG, HIDDEN, Tensors, UP, VOCAB, checkpoint_of, llama, matrix, values};

fn compare(base: (&Tensors, DType), tuned: (&Tensors, DType)) -> Report {
    let folders = [base, tuned].map(|(tensors, dtype)| {
        let folder = tempfile::tempdir().unwrap();
        checkpoint_of(tensors, dtype, Some(CONFIG)).write(folder.path()).unwrap();
        folder
    });
    Compare::new(folders[0].path(), folders[1].path()).run().unwrap()
}

/// The first conclusion, with its words.
#[track_caller]
fn concluded<'a>(report: &'a Report, code: &str) -> &'a str {
    let codes: Vec<&str> = report.conclusions.iter().map(|c| &*c.code).collect();
    assert_eq!(codes.first(), Some(&code), "{:#?}", report.conclusions);
    assert!(!codes.contains(&"compare.fine-tuned") || code == "compare.fine-tuned", "{codes:?}");
    &report.conclusions[0].message
}

const B: DType = DType::BF16;

#[test]
fn a_copy_is_identical() {
    let tensors = llama(30);
    concluded(&compare((&tensors, B), (&tensors, B)), "compare.identical");
}

#[test]
fn recasts_are_no_training_in_any_direction() {
    let tensors = llama(31);
    for (from, to) in [
        (DType::F32, B),
        (DType::F32, DType::F16),
        // Both rounded from one source, either way round.
        (DType::F16, B),
        (B, DType::F16),
    ] {
        let said = compare((&tensors, from), (&tensors, to));
        let said = concluded(&said, "compare.recast");
        assert!(said.starts_with("the same weights"), "{from} {to}: {said}");
    }
}

#[test]
fn rows_in_another_order_are_no_training() {
    let base = llama(32);
    let mut tuned = base.clone();
    // Half-split rotary features become interleaved ones, in heads of 16.
    for block in 0..crate::BLOCKS {
        let q = values(&mut tuned, &format!("model.layers.{block}.self_attn.q_proj.weight"));
        let rows: Vec<Vec<f32>> = q.chunks(HIDDEN).map(<[f32]>::to_vec).collect();
        *q = (0..rows.len())
            .flat_map(|row| {
                let (head, within) = (row / 16 * 16, row % 16);
                rows[head + within / 2 + within % 2 * 8].clone()
            })
            .collect();
    }
    let report = compare((&base, B), (&tuned, B));
    let said = concluded(&report, "compare.permuted");
    assert!(said.contains("attention_q") && said.contains("another order"), "{said}");
}

#[test]
fn neurons_in_another_order_are_no_training() {
    let base = llama(33);
    let mut tuned = base.clone();
    let order: Vec<usize> = (0..crate::INNER).map(|i| i * 7 % crate::INNER).collect();
    for block in 0..crate::BLOCKS {
        for name in ["gate", "up"] {
            let name = format!("model.layers.{block}.mlp.{name}_proj.weight");
            let rows: Vec<Vec<f32>> =
                values(&mut tuned, &name).chunks(HIDDEN).map(<[f32]>::to_vec).collect();
            *values(&mut tuned, &name) = order.iter().flat_map(|i| rows[*i].clone()).collect();
        }
        let name = format!("model.layers.{block}.mlp.down_proj.weight");
        let down = values(&mut tuned, &name);
        *down = down.chunks(crate::INNER).flat_map(|r| order.iter().map(|i| r[*i])).collect();
    }
    concluded(&compare((&base, B), (&tuned, B)), "compare.permuted");
    // Recast as well.
    concluded(&compare((&base, DType::F32), (&tuned, B)), "compare.permuted");
}

#[test]
fn factors_and_offsets_are_no_training() {
    let base = llama(34);
    let mut tuned = base.clone();
    values(&mut tuned, UP).iter_mut().for_each(|value| *value *= 4096.0);
    let report = compare((&base, B), (&tuned, B));
    assert!(concluded(&report, "compare.scaled").contains("4096"), "{:#?}", report.conclusions);
    // A norm that is 1 + w on one side.
    let mut tuned = base.clone();
    let norms: Vec<String> = base.keys().filter(|name| name.contains("norm")).cloned().collect();
    for name in &norms {
        values(&mut tuned, name).iter_mut().for_each(|gain| *gain -= 1.0);
    }
    concluded(&compare((&base, DType::F32), (&tuned, DType::F32)), "compare.shifted");
}

#[test]
fn a_square_matrix_may_be_transposed() {
    let base = llama(35);
    let mut tuned = base.clone();
    let name = "model.layers.2.self_attn.o_proj.weight";
    let old = base[name].1.clone();
    *values(&mut tuned, name) =
        (0..HIDDEN * HIDDEN).map(|i| old[i % HIDDEN * HIDDEN + i / HIDDEN]).collect();
    concluded(&compare((&base, B), (&tuned, B)), "compare.transposed");
}

#[test]
fn rows_that_one_side_lacks_are_never_identical() {
    let base = llama(36);
    let mut tuned = base.clone();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let (shape, values) = tuned.get_mut(name).unwrap();
        shape[0] = VOCAB - 16;
        values.truncate(shape[0] * HIDDEN);
    }
    let report = compare((&base, B), (&tuned, B));
    let said = concluded(&report, "compare.rows-cut");
    assert!(said.contains("rows 240 to 255"), "{said}");
    let report = compare((&tuned, B), (&base, B));
    let said = concluded(&report, "compare.rows-added");
    assert!(said.contains("16 more rows"), "{said}");
}

#[test]
fn of_what_hardly_pairs_nothing_is_said() {
    let base = llama(37);
    let mut tuned = Tensors::new();
    let mut random = Random::new(37);
    for block in 0..4 {
        let name = format!("blocks.{block}.mixer.weight");
        tuned.insert(name, matrix(&mut random, 96, 96, 0.02));
    }
    tuned.insert("model.norm.weight".into(), base["model.norm.weight"].clone());
    concluded(&compare((&base, B), (&tuned, B)), "compare.no-verdict");
}

#[test]
fn training_is_still_training() {
    let base = llama(38);
    let mut random = Random::new(38);
    for (rate, part) in [(1e-3, "_proj"), (3e-3, "mlp"), (5e-3, "layers.5."), (2e-3, "")] {
        let mut tuned = base.clone();
        for (name, (_, values)) in &mut tuned {
            if name.contains(part) {
                values.iter_mut().for_each(|v| *v += (rate * random.normal()) as f32);
            }
        }
        let report = compare((&base, DType::F32), (&tuned, DType::F32));
        let said = concluded(&report, "compare.fine-tuned");
        assert!(!said.contains("LoraConfig"), "{said}");
        // White noise is of no low rank.
        assert!(
            report.conclusions.iter().all(|c| !c.message.contains("LoraConfig(r=")),
            "{:#?}",
            report.conclusions
        );
    }
}

#[test]
fn strangers_are_not_fine_tuned() {
    let report = compare((&llama(39), B), (&llama(40), B));
    let codes: Vec<&str> = report.conclusions.iter().map(|c| &*c.code).collect();
    assert!(!codes.contains(&"compare.fine-tuned"), "{:#?}", report.conclusions);
}
