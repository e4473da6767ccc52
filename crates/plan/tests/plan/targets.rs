//! What a tool can load: no plan asks it for anything else.

use crate::common::{Model, SCHEMES, layers, request};
use weightscope_core::{Finding, Report, Role, Severity, StoredRecord, WeightRecord};
use weightscope_plan::{
    Critical, Form, Goal, Plan, PlanError, Request, Scheme, Target, export, plan,
};

fn planned(report: &Report, target: Target, goal: Goal) -> Plan {
    plan(report, &Request { target: Some(target), ..request(goal) }).expect("there is a plan")
}

fn scheme_of(plan: &Plan, name: &str) -> Option<Scheme> {
    plan.tensors.iter().find(|t| t.name == name).expect("the tensor is planned").scheme
}

/// Takes away what was measured of a weight, so that it can only be kept.
fn forget(model: &mut Model, name: &str) {
    let record = model.weights.iter_mut().find(|w| w.name == name).expect("the weight is there");
    record.analyses.clear();
}

fn store(record: &mut WeightRecord, scheme: &str) {
    record.stored = Some(StoredRecord {
        scheme: scheme.to_owned(),
        bits_per_weight: 4.5,
        bytes: record.parameters * 9 / 16,
        parts: vec![],
        factor_block: None,
    });
}

/// A model whose matrices in blocks are stored in a form.
fn quantised(scheme: &str) -> Model {
    let mut model = layers(2);
    let linear = |w: &&mut WeightRecord| w.matrix.is_some() && w.block.is_some();
    model.weights.iter_mut().filter(linear).for_each(|record| store(record, scheme));
    model
}

#[test]
fn what_is_loaded_as_one_is_kept_as_one() {
    let mut model = layers(2);
    forget(&mut model, "model.layers.0.self_attn.k_proj.weight");
    forget(&mut model, "model.layers.1.mlp.up_proj.weight");
    let made = planned(&model.report(), Target::CompressedTensors, Goal::MinSqnr(5.0));
    for leaf in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"] {
        assert_eq!(scheme_of(&made, &format!("model.layers.0.{leaf}.weight")), None, "{leaf}");
        assert!(scheme_of(&made, &format!("model.layers.1.{leaf}.weight")).is_some(), "{leaf}");
    }
    assert_eq!(scheme_of(&made, "model.layers.1.mlp.gate_proj.weight"), None);
    assert!(scheme_of(&made, "model.layers.0.mlp.gate_proj.weight").is_some());
    let v = made.tensors.iter().find(|t| t.name == "model.layers.0.self_attn.v_proj.weight");
    let why = v.and_then(|t| t.limit.as_deref());
    let expected = "loaded as one with model.layers.0.self_attn.k_proj.weight, which is kept";
    assert_eq!(why, Some(expected));
    // llama.cpp loads them apart.
    let apart = planned(&model.report(), Target::LlamaCpp, Goal::MinSqnr(5.0));
    assert!(scheme_of(&apart, "model.layers.0.self_attn.q_proj.weight").is_some());
}

#[test]
fn downward_projections_of_latent_attention_are_one() {
    let mut model = Model::default();
    let mut add = |leaf: &str, role, gain: f64| {
        let rows = SCHEMES.map(|(name, bits, db)| (name, bits, db.map(|db| db + gain)));
        let name = format!("model.layers.0.self_attn.{leaf}.weight");
        model.matrix(&name, role, Some(0), [128, 128], &rows);
    };
    add("q_a_proj", Role::AttentionQDown, 0.0);
    add("kv_a_proj_with_mqa", Role::AttentionKvDown, 30.0);
    // Alone, one would have 4 bits and the other 8.
    let made = planned(&model.report(), Target::CompressedTensors, Goal::MinSqnr(25.0));
    assert!(
        made.tensors.iter().all(|t| t.scheme == Some(Scheme::Int8Channel)),
        "{:?}",
        made.tensors
    );
    assert_eq!(made.tensors[0].choice, made.tensors[1].choice);
}

#[test]
fn experts_of_a_block_are_one_tensor_in_gguf() {
    let mut model = Model::default();
    for expert in 0..4 {
        let name = format!("model.layers.0.mlp.experts.{expert}.down_proj.weight");
        model.matrix(&name, Role::MlpDown, Some(0), [128, 128], &SCHEMES);
        model.weights.last_mut().unwrap().expert = Some(expert);
    }
    let all = planned(&model.report(), Target::LlamaCpp, Goal::MinSqnr(5.0));
    assert!(all.tensors.iter().all(|t| t.scheme == Some(Scheme::GgufQ4_0)));
    forget(&mut model, "model.layers.0.mlp.experts.2.down_proj.weight");
    let none = planned(&model.report(), Target::LlamaCpp, Goal::MinSqnr(5.0));
    assert!(none.tensors.iter().all(|t| t.scheme.is_none()));
    let types = export(&none, Form::LlamaTypes).unwrap();
    assert_eq!(types.lines().count(), 1, "{types}");
}

#[test]
fn rows_are_whole_blocks_and_whole_words() {
    use Target::{BitsAndBytes, CompressedTensors, LlamaCpp};

    let rows = [
        ("int4_channel", 4.25, Some(15.0)),
        ("int8_channel", 8.25, Some(40.0)),
        ("int4_g64", 4.25, Some(18.0)),
        ("int4_g128_asym", 4.28, Some(19.0)),
        ("gguf_q4_0", 4.5, Some(20.0)),
        ("nf4_b64", 4.5, Some(21.0)),
    ];
    let only = |shape, target, scheme: &str| {
        let mut model = Model::default();
        model.matrix("model.layers.0.mlp.down_proj.weight", Role::MlpDown, Some(0), shape, &rows);
        let rules = vec![format!("matrix={scheme}").parse().unwrap()];
        let wanted = Request { target: Some(target), rules, ..request(Goal::Bytes(u64::MAX)) };
        let made = plan(&model.report(), &wanted).unwrap();
        made.tensors[0].scheme.is_some()
    };
    assert!(only([64, 96], LlamaCpp, "gguf_q4_0"));
    assert!(!only([64, 80], LlamaCpp, "gguf_q4_0"));
    assert!(only([64, 128], CompressedTensors, "int4_g64"));
    assert!(!only([64, 96], CompressedTensors, "int4_g64"));
    // Codes of 4 bits are packed by eight, codes of 8 bits by four.
    assert!(only([64, 40], CompressedTensors, "int4_channel"));
    assert!(!only([64, 36], CompressedTensors, "int4_channel"));
    assert!(only([64, 36], CompressedTensors, "int8_channel"));
    assert!(!only([64, 34], CompressedTensors, "int8_channel"));
    // Zero points are packed by eight rows.
    assert!(only([64, 128], CompressedTensors, "int4_g128_asym"));
    assert!(!only([60, 128], CompressedTensors, "int4_g128_asym"));
    // The last block may be short.
    assert!(only([60, 34], BitsAndBytes, "nf4_b64"));
}

#[test]
fn experts_have_formats_that_fused_kernels_read() {
    let rows = [
        ("int4_g128_asym", 4.28, Some(22.0)),
        ("int4_g128", 4.125, Some(17.0)),
        ("fp8_e4m3_channel", 8.125, Some(50.0)),
        ("int8_channel", 8.125, Some(41.0)),
    ];
    let schemes = |expert: Option<u32>| {
        let mut model = Model::default();
        let name = "model.layers.0.mlp.experts.0.down_proj.weight";
        model.matrix(name, Role::MlpDown, Some(0), [128, 128], &rows);
        model.weights[0].expert = expert;
        [20.0, 45.0].map(|db| {
            let made = planned(&model.report(), Target::CompressedTensors, Goal::MinSqnr(db));
            scheme_of(&made, name)
        })
    };
    assert_eq!(schemes(None), [Some(Scheme::Int4G128Asym), Some(Scheme::Fp8E4m3Channel)]);
    // Nothing symmetric in 8 bits has 45 dB, so that the expert is kept.
    assert_eq!(schemes(Some(0)), [Some(Scheme::Int8Channel), None]);
}

#[test]
fn a_quantised_checkpoint_gets_no_second_method() {
    for (form, target) in [
        ("gptq int4 g128", Target::CompressedTensors),
        ("compressed-tensors int4 g128", Target::CompressedTensors),
        ("bnb nf4 b64", Target::BitsAndBytes),
    ] {
        let mut model = quantised(form);
        // A matrix that its tool left alone.
        model.weights.iter_mut().find(|w| w.name.contains("1.mlp.down_proj")).unwrap().stored =
            None;
        let report = model.report();
        let (suggested, why) = Target::suggested(&report, &[]);
        assert_eq!(
            (suggested, why),
            (target, format!("stored as {form}, which no GGUF file holds"))
        );
        let made = planned(&report, target, Goal::Bytes(u64::MAX));
        assert_eq!((made.open, made.before), (0, made.after), "{form}");
        let said = made.already();
        let expected = format!("nothing to plan: {target} adds nothing to a checkpoint");
        assert!(said[1].starts_with(&expected), "{said:?}");
        // Anew means all of it, and what is kept is then decoded.
        let wanted = Request {
            target: Some(target),
            rules: vec!["stored=auto".parse().unwrap()],
            ..request(Goal::Bytes(u64::MAX))
        };
        let anew = plan(&report, &wanted).unwrap();
        assert!(anew.open > 0 && anew.tensors.iter().all(|t| t.scheme.is_none()));
        let q = anew.tensors.iter().find(|t| t.name.contains("0.self_attn.q_proj")).unwrap();
        assert_eq!(q.bytes, 2 * q.elements, "{form}");
    }
}

#[test]
fn bitsandbytes_has_one_format_by_rules_too() {
    let with = |rules: &[&str]| {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let goal = Goal::Bytes(u64::MAX);
        let target = Some(Target::BitsAndBytes);
        plan(&layers(1).report(), &Request { target, rules, ..request(goal) })
    };
    for scheme in [Scheme::Nf4B64, Scheme::Int8Channel] {
        let made = with(&[&format!("matrix={scheme}")]).unwrap();
        assert_eq!(scheme_of(&made, "model.layers.0.mlp.up_proj.weight"), Some(scheme));
    }
    let error = with(&["matrix=nf4_b64", "other=int8_channel"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "bitsandbytes has one format for a model, and rules ask for int8_channel, nf4_b64"
    );
}

#[test]
fn the_tool_is_the_one_that_can() {
    let plain = layers(1).report();
    let suggested = |report, schemes: &[Scheme]| Target::suggested(report, schemes).0;
    assert_eq!(suggested(&plain, &[]), Target::LlamaCpp);
    assert_eq!(suggested(&plain, &[Scheme::GgufQ5_0, Scheme::F16]), Target::LlamaCpp);
    assert_eq!(suggested(&plain, &[Scheme::Mxfp4]), Target::CompressedTensors);
    assert_eq!(suggested(&plain, &[Scheme::Nf4B64]), Target::BitsAndBytes);
    // Nobody mixes these; the plan says whom it asked.
    assert_eq!(suggested(&plain, &[Scheme::Nf4B64, Scheme::GgufQ4_0]), Target::LlamaCpp);
    assert_eq!(suggested(&quantised("Q4_K").report(), &[]), Target::LlamaCpp);
}

#[test]
fn bytes_that_are_not_the_models_are_refused() {
    let mut report = layers(1).report();
    let mut find = |code: &'static str, severity, weight| {
        report.findings.push(Finding::new(code, severity, weight, "of 3 nothing is left"));
        report.clone()
    };
    let wanted = request(Goal::BitsPerWeight(6.0));
    let info = find("integrity.empty", Severity::Info, None);
    assert_eq!(plan(&info, &wanted).unwrap().warning(), None);
    let warned = find("integrity.non-finite", Severity::Critical, Some("wte.weight"));
    let made = plan(&warned, &wanted).unwrap();
    let sentence = "critical findings, and a plan mends none of them: integrity.non-finite \
                    (wte.weight: of 3 nothing is left)";
    assert_eq!(made.warning().as_deref(), Some(sentence));
    assert!(made.to_json().unwrap().contains("\"code\": \"integrity.non-finite\""));
    let refused = find("integrity.missing", Severity::Critical, None);
    let error = plan(&refused, &wanted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is nothing to plan before this is mended: integrity.missing (of 3 nothing is left), \
         and one more"
    );
    let PlanError::Broken { found } = error else { panic!("{error}") };
    let refused_for = |c: &Critical| (c.code.clone(), c.refused);
    let codes: Vec<(String, bool)> = found.iter().map(refused_for).collect();
    assert_eq!(
        codes,
        [("integrity.missing".to_owned(), true), ("integrity.non-finite".to_owned(), false)]
    );
    let forced = plan(&refused, &Request { force: true, ..wanted }).unwrap();
    assert!(forced.warning().is_some_and(|said| said.contains("integrity.missing")));
}
