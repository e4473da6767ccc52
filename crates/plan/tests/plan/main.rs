//! Plans of small reports that are built here.

mod common;
mod targets;

use common::{Model, error_of, layers, request};
use proptest::prelude::*;
use weightscope_core::{Part, Role};
use weightscope_plan::{
    Class, Form, Goal, How, Plan, PlanError, Request, Rule, Scheme, Target, blocks, export,
    figures, plan,
};

fn scheme_of(plan: &Plan, name: &str) -> Option<Scheme> {
    plan.tensors.iter().find(|t| t.name == name).expect("the tensor is planned").scheme
}

#[test]
fn a_loose_budget_keeps_everything_and_a_tight_one_is_met() {
    let report = layers(4).report();
    let loose = plan(&report, &request(Goal::Bytes(1 << 40))).unwrap();
    assert_eq!((loose.error, loose.bound, loose.gap), (0.0, Some(0.0), Some(0.0)));
    assert_eq!(loose.before, loose.after);
    let tight = plan(&report, &request(Goal::BitsPerWeight(5.0))).unwrap();
    assert!(tight.after.bits_per_weight <= 5.0 && tight.error > 0.0);
    assert!(tight.error >= tight.bound.unwrap());
    assert_eq!(tight.after.bytes, tight.tensors.iter().map(|t| t.bytes).sum::<u64>());
    assert!((tight.error - tight.tensors.iter().map(|t| t.error).sum::<f64>()).abs() < 1e-12);
    assert_eq!(tight.budget, Some(tight.parameters * 5 / 8));
}

#[test]
fn a_budget_that_cannot_be_met_says_what_holds_it() {
    let mut wanted = request(Goal::BitsPerWeight(2.0));
    wanted.rules = vec!["embedding=keep".parse().unwrap()];
    let error = plan(&layers(4).report(), &wanted).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("embeddings are kept by rule `embedding=keep`: "), "{text}");
    let PlanError::Budget { budget, least, held, .. } = error else { panic!("{error}") };
    assert_eq!(held.iter().map(|held| held.bytes).sum::<u64>(), least);
    assert!(least > budget);
    // What it names as the smallest can be reached.
    let smallest = plan(&layers(4).report(), &request_like(&wanted, Goal::Bytes(least))).unwrap();
    assert_eq!(smallest.after.bytes, least);
    assert!(plan(&layers(4).report(), &request_like(&wanted, Goal::Bytes(least - 1))).is_err());
}

fn request_like(like: &Request, goal: Goal) -> Request {
    Request { goal, ..like.clone() }
}

#[test]
fn rules_hold_and_can_be_changed() {
    let report = layers(2).report();
    let mut wanted = request(Goal::BitsPerWeight(6.0));
    let usual = plan(&report, &wanted).unwrap();
    let embedding = scheme_of(&usual, "model.embed_tokens.weight");
    let wide = [None, Some(Scheme::Int8Channel), Some(Scheme::GgufQ8_0)];
    assert!(wide.contains(&embedding), "{embedding:?}");
    assert_eq!(scheme_of(&usual, "model.norm.weight"), None);
    let only = Rule { class: Class::Embedding, how: How::Only(Scheme::Int4G128) };
    wanted.rules = vec![Rule { how: How::Keep, ..only }, only];
    let changed = plan(&report, &wanted).unwrap();
    assert_eq!(scheme_of(&changed, "model.embed_tokens.weight"), Some(Scheme::Int4G128));
    let rule = changed.rules.iter().find(|rule| rule.class == Class::Embedding).unwrap();
    assert!(rule.given && rule.how == only.how && rule.tensors == 1);
}

#[test]
fn quality_takes_the_smallest_that_is_good_enough() {
    let plan = plan(&layers(2).report(), &request(Goal::MinSqnr(30.0))).unwrap();
    assert_eq!((plan.bound, plan.budget), (None, None));
    for tensor in plan.tensors.iter().filter(|t| t.class == Class::Matrix) {
        assert_eq!(tensor.scheme, Some(Scheme::Int8Channel), "{}", tensor.name);
        assert!(tensor.sqnr_db.unwrap() >= 30.0);
    }
    let none = weightscope_plan::plan(&layers(2).report(), &request(Goal::MinSqnr(90.0))).unwrap();
    assert!(none.tensors.iter().all(|t| t.scheme.is_none()));
    assert!(none.notes[0].contains("no allowed scheme has 90 dB"), "{:?}", none.notes);
}

#[test]
fn what_overflows_or_was_not_measured_is_no_option() {
    let mut model = layers(1);
    for record in &mut model.weights {
        record.analyses.clear();
    }
    let none = plan(&model.report(), &request(Goal::BitsPerWeight(8.0)));
    assert_eq!(none.unwrap_err(), PlanError::NoMeasurements);
    let mut model = Model::default();
    model.matrix("a.weight", Role::MlpUp, Some(0), [64, 64], &[("f16", 16.0, None)]);
    model.matrix("b.weight", Role::MlpUp, Some(1), [64, 64], &[("int8_channel", 8.25, Some(40.0))]);
    let plan = plan(&model.report(), &request(Goal::Bytes(64 * 64 * 2 + 64 * 66))).unwrap();
    assert_eq!(plan.schemes, [Scheme::Int8Channel]);
    assert_eq!(scheme_of(&plan, "a.weight"), None);
    assert_eq!(plan.tensors[0].limit.as_deref(), Some("not measured"));
}

#[test]
fn tied_copies_count_once_and_experts_of_a_stack_share() {
    let mut model = layers(1);
    model.matrix("lm_head.weight", Role::Head, None, [512, 128], &common::SCHEMES);
    model.tied.push(("lm_head.weight".to_owned(), "model.embed_tokens.weight".to_owned()));
    for expert in 0..4 {
        model.expert("model.layers.0.mlp.experts.down_proj", expert, [128, 128]);
    }
    let plan = plan(&model.report(), &request(Goal::BitsPerWeight(5.0))).unwrap();
    assert!(plan.tensors.iter().all(|t| t.name != "lm_head.weight"));
    let stack = plan.tensors.iter().find(|t| t.name.ends_with("experts.down_proj")).unwrap();
    assert_eq!((stack.weights, stack.elements), (4, 4 * 128 * 128));
}

#[test]
fn llama_cpp_gets_patterns_of_its_names() {
    let mut wanted = request(Goal::BitsPerWeight(5.5));
    wanted.target = Some(Target::LlamaCpp);
    let mut model = layers(6);
    model.matrix("model.layers.0.odd.weight", Role::MlpUp, Some(0), [64, 40], &common::SCHEMES);
    model.matrix("strange.weight", Role::Other, None, [64, 64], &common::SCHEMES);
    let plan = plan(&model.report(), &wanted).unwrap();
    let script = export(&plan, Form::LlamaScript).unwrap();
    assert!(script.contains("--token-embedding-type q8_0"), "{script}");
    assert!(script.contains("--tensor-type '^blk\\."), "{script}");
    assert!(script.contains("# no GGUF name is known for strange.weight"), "{script}");
    assert!(script.trim_end().ends_with("\"$1\" \"$2\" q8_0"), "{script}");
    let types = export(&plan, Form::LlamaTypes).unwrap();
    for line in types.lines() {
        let (pattern, kind) = line.split_once('=').expect("PATTERN=TYPE");
        assert!(pattern.starts_with('^') && pattern.ends_with("\\.weight$"), "{line}");
        assert!(!line.contains(' ') && line.to_lowercase() == line, "{line}");
        assert!(["q4_0", "q5_0", "q8_0", "bf16"].contains(&kind), "{line}");
    }
    // 40 is no multiple of 32, and a stranger has no name.
    assert_eq!(scheme_of(&plan, "model.layers.0.odd.weight"), None);
    assert_eq!(scheme_of(&plan, "strange.weight"), None);
    assert!(export(&plan, Form::Recipe).is_err());
}

#[test]
fn compressed_tensors_fuses_and_ignores() {
    let mut wanted = request(Goal::BitsPerWeight(6.0));
    wanted.target = Some(Target::CompressedTensors);
    let mut model = layers(6);
    model.matrix("lm_head.weight", Role::Head, None, [512, 128], &common::SCHEMES);
    let plan = plan(&model.report(), &wanted).unwrap();
    for block in 0..6 {
        let of = |leaf: &str| scheme_of(&plan, &format!("model.layers.{block}.{leaf}.weight"));
        let q = of("self_attn.q_proj");
        assert_eq!([of("self_attn.k_proj"), of("self_attn.v_proj")], [q, q]);
        assert_eq!(of("mlp.gate_proj"), of("mlp.up_proj"));
    }
    let config = export(&plan, Form::QuantizationConfig).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["quant_method"], "compressed-tensors");
    assert_eq!(config["ignore"][0], "re:(.*\\.)?lm_head$");
    assert!(config["config_groups"]["group_0"]["weights"]["num_bits"].is_u64());
    let recipe = export(&plan, Form::Recipe).unwrap();
    assert!(recipe.contains("    QuantizationModifier:\n"), "{recipe}");
}

#[test]
fn bitsandbytes_has_one_format() {
    let mut wanted = request(Goal::BitsPerWeight(6.0));
    wanted.target = Some(Target::BitsAndBytes);
    let plan = plan(&layers(6).report(), &wanted).unwrap();
    let mut used: Vec<Scheme> = plan.tensors.iter().filter_map(|t| t.scheme).collect();
    used.dedup();
    assert_eq!(used, [Scheme::Nf4B64]);
    assert_eq!(plan.uniform.len(), 2);
    let json = export(&plan, Form::BitsAndBytesConfig).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["load_in_4bit"], &json["load_in_8bit"]), (&true.into(), &false.into()));
    assert!(json["llm_int8_skip_modules"].as_array().is_some_and(|skipped| !skipped.is_empty()));
}

#[test]
fn wishes_that_make_no_sense() {
    let report = layers(1).report();
    let mut wanted = request(Goal::BitsPerWeight(f64::NAN));
    assert!(matches!(plan(&report, &wanted), Err(PlanError::Goal { .. })));
    wanted = request(Goal::Bytes(1 << 40));
    wanted.target = Some(Target::LlamaCpp);
    wanted.schemes = vec![Scheme::Nf4B64];
    let error = plan(&report, &wanted).unwrap_err().to_string();
    assert!(error.starts_with("llama.cpp cannot store nf4_b64; it has f16"), "{error}");
    // A rule is held to the same.
    wanted.schemes.clear();
    wanted.rules = vec!["matrix=nf4_b64".parse().unwrap()];
    assert!(matches!(plan(&report, &wanted), Err(PlanError::Scheme { .. })));
}

#[test]
fn plans_are_written_whole() {
    let mut model = layers(3);
    model.matrix("evil\u{1b}[2J\u{202e}.weight", Role::Other, None, [64, 64], &common::SCHEMES);
    model.buffer("mask", &[32]);
    let plan = plan(&model.report(), &request(Goal::BitsPerWeight(5.0))).unwrap();
    let json = plan.to_json().unwrap();
    assert!(json.is_ascii() && !json.contains('\u{1b}'));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["schema"]["name"], "weightscope-plan");
    assert_eq!(value["tensors"].as_array().unwrap().len(), plan.tensors.len());
    assert_eq!(value["tensors"][0]["role"], "token_embedding");
    assert_eq!(value["goal"]["bits_per_weight"], 5.0);
    let over_depth = blocks(&plan);
    assert_eq!(over_depth.len(), 4);
    assert_eq!(over_depth[1].name, "block 0");
    assert_eq!(figures(&plan).len(), 4);
    assert!(plan.rules.iter().any(|rule| rule.class == Class::Buffer && rule.tensors == 1));
    assert_eq!(Part::Buffer.name(), "buffer");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Never over the budget, never below the bound, never worse than one scheme for all that fits.
    #[test]
    fn plans_keep_their_promises(
        noise in prop::collection::vec(-6.0..6.0f64, 28),
        bits in 4.4..16.0f64,
        target in prop::sample::select(vec![None, Some(Target::LlamaCpp), Some(Target::CompressedTensors), Some(Target::BitsAndBytes)]),
    ) {
        let mut model = layers(4);
        model.disturb(&noise);
        let mut wanted = request(Goal::BitsPerWeight(bits));
        wanted.target = target;
        match plan(&model.report(), &wanted) {
            Ok(plan) => {
                prop_assert!(plan.after.bytes <= plan.budget.unwrap());
                prop_assert!(plan.error >= plan.bound.unwrap());
                prop_assert!((plan.error - error_of(&plan, &model)).abs() <= 1e-12);
                for uniform in plan.uniform.iter().filter(|uniform| uniform.fits) {
                    prop_assert!(plan.error <= uniform.error + 1e-12, "{uniform:?}");
                }
            }
            Err(PlanError::Budget { budget, least, .. }) => prop_assert!(least > budget),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

/// The matrices of the blocks as if they were stored in `scheme`, at 4.5 bits a weight.
fn quantised(scheme: &str) -> Model {
    let mut model = layers(2);
    let is_linear =
        |w: &&mut weightscope_core::WeightRecord| w.matrix.is_some() && w.block.is_some();
    for record in model.weights.iter_mut().filter(is_linear) {
        "F32".clone_into(&mut record.dtype);
        record.stored = Some(weightscope_core::StoredRecord {
            scheme: scheme.to_owned(),
            bits_per_weight: 4.5,
            bytes: record.parameters * 9 / 16,
            parts: vec![record.name.replace("weight", "qweight")],
            factor_block: Some([1, 128]),
        });
    }
    model
}

#[test]
fn what_is_quantised_stays_as_it_is_stored() {
    let report = quantised("gptq int4 g128").report();
    let made = plan(&report, &request(Goal::BitsPerWeight(5.5))).unwrap();
    let [form] = &made.already_quantized[..] else { panic!("{:?}", made.already_quantized) };
    assert_eq!((form.form.as_str(), form.tensors), ("gptq int4 g128", 14));
    assert_eq!(form.bits_per_weight, Some(4.5));
    // Sizes are those of the file, not of what is decoded.
    let table = 512 * 128;
    let linear: u64 = 2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 384 * 128);
    assert_eq!(made.before.bytes, 2 * table + linear * 9 / 16 + 2 * 3 * 128);
    assert_eq!((made.open, made.open_bytes), (1, 2 * table));
    let kept = made.tensors.iter().filter(|t| t.class == Class::Stored);
    assert!(kept.clone().all(|t| t.scheme.is_none() && t.bytes == t.bytes_before));
    assert!(kept.clone().all(|t| t.dtype == "gptq int4 g128"));
    assert_eq!(kept.count(), 14);
    assert!(made.after.bits_per_weight <= 5.5 && made.after.bytes < made.before.bytes);
    let sentences = made.already();
    assert_eq!(sentences[0], "already quantised: 14 matrices as gptq int4 g128, 4.5 bits a weight");
    assert!(sentences[1].ends_with("1 tensor of 131.1 kB remains to be planned"), "{sentences:?}");
    let norms = made.rules.iter().find(|rule| rule.class == Class::Norm).unwrap();
    assert_eq!((norms.tensors, norms.bytes), (3, 2 * 3 * 128));

    // A wish below it says what holds it, and by which rule.
    let error = plan(&report, &request(Goal::BitsPerWeight(3.0))).unwrap_err().to_string();
    assert!(error.contains("kept by rule `stored=keep` (stored=auto plans them anew)"), "{error}");
}

#[test]
fn nothing_is_left_to_plan_where_all_is_quantised() {
    let mut model = quantised("Q4_K");
    for record in model.weights.iter_mut().filter(|w| w.matrix.is_some()) {
        let bytes = record.parameters * 9 / 16;
        record.stored.get_or_insert_with(|| weightscope_core::StoredRecord {
            scheme: "Q6_K".to_owned(),
            bits_per_weight: 4.5,
            bytes,
            parts: vec![],
            factor_block: None,
        });
    }
    let made = plan(&model.report(), &request(Goal::BitsPerWeight(6.0))).unwrap();
    assert_eq!((made.open, made.error), (0, 0.0));
    assert_eq!(made.before, made.after);
    assert!(
        made.already().last().unwrap().starts_with("nothing to plan: "),
        "{:?}",
        made.already()
    );
    // llama-quantize is told the types that the file has.
    let wanted = Request { target: Some(Target::LlamaCpp), ..request(Goal::BitsPerWeight(6.0)) };
    let made = plan(&model.report(), &wanted).unwrap();
    let types = export(&made, Form::LlamaTypes).unwrap();
    assert!(
        types.contains("attn_q\\.weight$=q4_k") && types.contains("token_embd\\.weight$=q6_k"),
        "{types}"
    );
}

#[test]
fn planning_anew_is_asked_for_or_forced_and_said() {
    let report = quantised("gptq int4 g128").report();
    let wanted = Request {
        rules: vec!["stored=auto".parse().unwrap()],
        ..request(Goal::BitsPerWeight(5.0))
    };
    let made = plan(&report, &wanted).unwrap();
    assert_eq!(made.open, 15);
    assert!(
        made.notes
            .iter()
            .any(|n| n.starts_with("14 matrices are already quantised and planned anew: "))
    );
    // More bits than are stored are never spent on what would only get worse.
    let loose = Request { goal: Goal::BitsPerWeight(12.0), ..wanted };
    let made = plan(&report, &loose).unwrap();
    assert!(made.tensors.iter().all(|t| t.scheme.is_none()) && made.after == made.before);
    // llama-quantize rounds what was rounded before only when it is told to.
    let anew = Request {
        target: Some(Target::LlamaCpp),
        rules: vec!["stored=auto".parse().unwrap()],
        ..request(Goal::BitsPerWeight(5.2))
    };
    let mut wide = quantised("Q8_0");
    for record in &mut wide.weights {
        if let Some(stored) = &mut record.stored {
            (stored.bits_per_weight, stored.bytes) = (8.5, record.parameters * 17 / 16);
        }
    }
    let made = plan(&wide.report(), &anew).unwrap();
    assert!(export(&made, Form::LlamaScript).unwrap().contains("--allow-requantize"));
    // A file for llama.cpp cannot hold them.
    let gguf = Request { target: Some(Target::LlamaCpp), ..request(Goal::BitsPerWeight(6.0)) };
    let made = plan(&report, &gguf).unwrap();
    assert!(
        made.notes.iter().any(|n| n.contains("because llama.cpp cannot hold them")),
        "{:?}",
        made.notes
    );
    assert!(made.tensors.iter().all(|t| t.class != Class::Stored));
}

#[test]
fn codes_that_are_not_decoded_are_no_vectors() {
    let mut model = quantised("exl2");
    for record in model.weights.iter_mut().filter(|w| w.stored.is_some()) {
        record.dtype = "codes".to_owned();
        record.matrix = None;
        record.analyses.clear();
    }
    let mut report = model.report();
    let made = plan(&report, &request(Goal::BitsPerWeight(9.0))).unwrap();
    let norms = made.rules.iter().find(|rule| rule.class == Class::Norm).unwrap();
    assert_eq!((norms.tensors, norms.bytes), (3, 2 * 3 * 128));
    assert_eq!(made.already()[0], "already quantised: 14 matrices as exl2");
    // Codes alone are no reason to ask for another scan.
    report.weights.retain(|w| w.stored.is_some());
    assert!(plan(&report, &request(Goal::BitsPerWeight(9.0))).is_err());
    report.settings.analyzers.insert("quantization".into(), 1);
    let made = plan(&report, &request(Goal::BitsPerWeight(9.0))).unwrap();
    assert!(made.already().last().unwrap().starts_with("nothing to plan: "));
}
