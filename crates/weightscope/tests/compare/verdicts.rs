//! What is concluded of two checkpoints.

use super::*;

/// Codes and messages of what is concluded, trends left out.
fn concluded(report: &Report) -> Vec<(&str, &str)> {
    let own = report.conclusions.iter().filter(|c| c.code != "compare.trend");
    own.map(|c| (c.code.as_ref(), c.message.as_str())).collect()
}

fn codes(report: &Report) -> Vec<&str> {
    concluded(report).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn the_same_is_identical() {
    let base = fixture("tiny-gpt2");
    let report = sound(&base, &base);
    let message = "identical: all 148 pairs of weights hold the same values";
    assert_eq!(concluded(&report), [("compare.identical", message)]);
    assert!(report.findings.is_empty());
}

#[test]
fn a_cast_is_recast_and_nothing_else() {
    let base = fixture("tiny-gpt2");
    for (dtype, name) in [(DType::BF16, "BF16"), (DType::F16, "F16")] {
        let copy = cast(&base, dtype);
        let report = sound(&base, &copy);
        assert_eq!(codes(&report), ["compare.recast"]);
        let (_, message) = concluded(&report)[0];
        assert!(message.contains(&format!("recast from F32 to {name}: all 148")), "{message}");
        assert!(message.contains("1.000 times the floor"), "{message}");
        let back = sound(&copy, &cast(&copy, DType::F32));
        assert!(concluded(&back)[0].1.ends_with("(nothing is lost)"), "{:?}", concluded(&back));
    }
}

#[test]
fn an_adapter_has_the_configuration_that_reproduces_it() {
    let report = sound(&fixture("tiny-gpt2"), &fixture("tiny-gpt2-lora"));
    assert_eq!(codes(&report), ["compare.merged-adapter", "compare.derived"]);
    let (_, message) = concluded(&report)[0];
    for part in [
        "an exact change of rank 4 above the rounding in 12 matrices (c_attn)",
        "the other 136 weights are bit-identical",
        r#"LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)"#,
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(report.conclusions[0].evidence.len(), 12);
}

#[test]
fn a_fine_tune_says_where() {
    let report = sound(&fixture("tiny-gpt2"), &fixture("tiny-gpt2-tuned"));
    let expected =
        ["compare.fine-tuned", "compare.not-low-rank", "compare.frozen", "compare.derived"];
    assert_eq!(codes(&report), expected);
    let messages: Vec<&str> = concluded(&report).into_iter().map(|(_, message)| message).collect();
    assert!(messages[0].starts_with("fine-tuned: 146 of 148 weights changed"), "{}", messages[0]);
    assert!(!messages[1].contains("LoraConfig"), "{}", messages[1]);
    assert_eq!(messages[2], "frozen: token_embedding, position_embedding did not change");
    let figures: Vec<&str> = report.figures.iter().map(|f| f.id.as_ref()).collect();
    for id in ["compare.roles", "compare.movement", "compare.delta_spectra"] {
        assert!(figures.contains(&id), "{id}");
    }
}

#[test]
fn noise_is_no_adapter_whatever_it_is_stored_in() {
    for dtype in [DType::F32, DType::BF16] {
        let base = cast(&small(Architecture::Llama).build(), dtype);
        let mut tuned = base.clone();
        let mut random = Random::new(7);
        for tensor in tuned.tensors.iter_mut().filter(|t| t.shape.len() == 2) {
            for value in &mut tensor.values {
                *value += 2e-4 * random.normal() as f32;
            }
        }
        let tuned = cast(&tuned, dtype);
        let report = sound(&base, &tuned);
        assert!(codes(&report).contains(&"compare.fine-tuned"), "{:?}", concluded(&report));
    }
}

#[test]
fn strangers_are_unrelated() {
    let report = sound(
        &small(Architecture::Gpt2).width(64).build(),
        &small(Architecture::Gpt2).width(64).seed(2).build(),
    );
    assert_eq!(codes(&report)[0], "compare.unrelated", "{:?}", concluded(&report));
    assert!(!codes(&report).contains(&"compare.derived"));
}

#[test]
fn values_cast_there_and_back_are_recast() {
    let base = fixture("tiny-gpt2");
    let mut copy = cast(&base, DType::BF16);
    for tensor in &mut copy.tensors {
        tensor.dtype = DType::F32;
    }
    let report = sound(&base, &copy);
    assert_eq!(codes(&report), ["compare.recast"], "{:?}", concluded(&report));
    let (_, message) = concluded(&report)[0];
    assert!(
        message.contains("from F32 to BF16: all 148 (the difference is the rounding"),
        "{message}"
    );
}

#[test]
fn a_small_change_below_the_rounding_of_a_narrower_base_is_a_change() {
    let base = cast(&fixture("tiny-gpt2"), DType::BF16);
    let mut tuned = base.clone();
    for tensor in &mut tuned.tensors {
        tensor.dtype = DType::F32;
        tensor.values.iter_mut().for_each(|x| *x *= 1.0 + 2e-4);
    }
    let report = sound(&base, &tuned);
    assert!(codes(&report).contains(&"compare.fine-tuned"), "{:?}", concluded(&report));
}

#[test]
fn few_rows_and_falling_spectra_are_no_adapters() {
    let base = fixture("tiny-gpt2");
    // One value, and one input of every output matrix.
    let mut edited = base.clone();
    edited.tensor_mut("h.3.mlp.c_fc.weight").values[17] += 0.5;
    edited.tensor_mut("h.4.attn.c_proj.weight").values[80..160].fill(0.0);
    assert!(!codes(&sound(&base, &edited)).contains(&"compare.merged-adapter"));
    // Directions of 1, 1/4, 1/9 and so on: full rank, and the first two stand out.
    let mut falling = base.clone();
    let mut random = Random::new(5);
    let mut direction = |length: usize| -> Vec<f64> {
        let x: Vec<f64> = (0..length).map(|_| random.normal()).collect();
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        x.into_iter().map(|x| x / norm).collect()
    };
    let tensor = falling.tensor_mut("h.5.attn.c_proj.weight");
    for k in 1..=80 {
        let (u, v) = (direction(80), direction(80));
        for (place, value) in tensor.values.iter_mut().enumerate() {
            *value += (u[place / 80] * v[place % 80] * 0.3 / f64::from(k * k)) as f32;
        }
    }
    let report = sound(&base, &falling);
    assert_eq!(codes(&report)[0], "compare.fine-tuned", "{:?}", concluded(&report));
}

#[test]
fn neurons_in_another_order_are_told() {
    let base = fixture("tiny-gpt2");
    let mut shuffled = base.clone();
    shuffle_neurons(&mut shuffled, 12, 3);
    let report = sound(&base, &shuffled);
    let expected = ["compare.permuted", "compare.derived"];
    assert_eq!(codes(&report), expected, "{:?}", concluded(&report));
    assert!(concluded(&report)[0].1.contains("in another order"));
}

#[test]
fn a_choice_of_weights_gives_whole_names_and_no_overflow() {
    let [base, tuned] = ["tiny-gpt2", "tiny-gpt2-lora"].map(|name| fixtures().join(name));
    let settings =
        Settings { include: vec!["h.3.attn.c_attn.weight".to_owned()], ..Settings::default() };
    let report = Compare::new(base, tuned).settings(settings).run().unwrap();
    assert_eq!((report.weights.len(), &report.errors[..]), (1, &[][..]));
    let (_, message) = concluded(&report)[0];
    assert!(message.contains(r#"target_modules=["h.3.attn.c_attn"]"#), "{message}");
}

#[test]
fn ranks_are_found_beyond_the_largest_movers() {
    let compare = |tuned: &str| {
        let mut settings = Settings::default();
        settings.parameters.set("compare", "delta_flops", 0.0);
        settings.parameters.set("compare", "delta_movers", 2.0);
        let [base, tuned] = ["tiny-gpt2", tuned].map(|name| fixtures().join(name));
        Compare::new(base, tuned).settings(settings).run().unwrap()
    };
    let adapted = compare("tiny-gpt2-lora");
    let (code, message) = concluded(&adapted)[0];
    assert_eq!(code, "compare.merged-adapter");
    assert!(message.contains("rank 4 above the rounding in 12 matrices (c_attn)"), "{message}");
    assert!(message.contains(r#"LoraConfig(r=4, target_modules=["c_attn"]"#), "{message}");
    let count = |report: &Report, metric: &str| {
        report.weights.iter().filter(|w| w.number("compare", metric).is_some()).count()
    };
    assert_eq!(count(&adapted, "delta_rank_above_rounding"), 12);
    assert_eq!(count(&adapted, "delta_stable_rank"), 2);
    let tuned = compare("tiny-gpt2-tuned");
    assert_eq!(concluded(&tuned)[0].0, "compare.fine-tuned");
    assert_eq!(count(&tuned, "delta_rank_at_least"), 46);
}

#[test]
fn models_of_other_families_have_nothing_in_common() {
    let report = sound(&fixture("tiny-gpt2"), &small(Architecture::Bert).build());
    assert_eq!(codes(&report), ["compare.no-verdict"]);
}

#[test]
fn divergence_is_a_finding() {
    let base = small(Architecture::Gpt2).build();
    let mut tuned = base.clone();
    tuned.tensor_mut("transformer.h.1.mlp.c_fc.weight").values[5] = f32::NAN;
    let report = compared(&base, &tuned);
    let found: Vec<_> = report.findings.iter().map(|f| (f.code.as_ref(), f.severity)).collect();
    assert_eq!(found, [("compare.not-finite", weightscope::Severity::Critical)]);
    assert_eq!(compared(&tuned, &tuned).findings, []);
}
