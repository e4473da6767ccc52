//! Plans of real and of heavy-tailed models against one scheme everywhere, at equal size.

use std::path::Path;

use weightscope::plan::{Goal, Plan, Request, Rule, plan};
use weightscope::{DType, Report, Scan, builtin_registry};
use weightscope_testkit::models::{Architecture, ModelSpec};
use weightscope_testkit::{Random, report_of};

fn fixture(name: &str) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    Scan::new([path]).analyzers(["quantization", "integrity"]).run().unwrap()
}

/// Matrices of Student's t with 3 degrees of freedom, each of its own scale and some with more of a tail.
fn heavy_tailed() -> Report {
    let mut model =
        ModelSpec::new(Architecture::Llama).blocks(6).width(128).dtype(DType::BF16).build();
    let mut random = Random::new(5);
    for (index, tensor) in model.tensors.iter_mut().enumerate() {
        if tensor.shape.len() == 2 {
            let freedom = 2 + index % 5;
            for value in &mut tensor.values {
                let spread: f64 = (0..freedom).map(|_| random.normal().powi(2)).sum();
                *value = (0.02 * random.normal() / (spread / freedom as f64).sqrt()) as f32;
            }
        }
    }
    report_of(&builtin_registry().analyzers(), &model)
}

fn of(report: &Report, goal: Goal) -> Plan {
    // Every class of matrices is free, so that one scheme everywhere is what it says.
    let rules = ["embedding=auto", "head=auto", "position=auto"];
    let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    plan(
        report,
        &Request {
            goal,
            target: None,
            target_reason: String::new(),
            schemes: Vec::new(),
            rules,
            force: false,
        },
    )
    .unwrap()
}

#[test]
fn a_plan_beats_one_scheme_everywhere_at_equal_size() {
    for (name, report) in [
        ("tiny-gpt2", fixture("tiny-gpt2")),
        ("tiny-llama", fixture("tiny-llama")),
        ("heavy-tailed", heavy_tailed()),
    ] {
        let uniform = of(&report, Goal::BitsPerWeight(64.0)).uniform;
        let (mut beaten, mut others) = (0, 0);
        for other in uniform.iter().filter(|u| u.error > 0.0) {
            let plan = of(&report, Goal::Bytes(other.size.bytes));
            assert!(plan.after.bytes <= other.size.bytes, "{name}: {other:?}");
            assert!(plan.error <= other.error, "{name}: {} above {other:?}", plan.error);
            beaten += usize::from(plan.error < other.error);
            others += 1;
        }
        // Some schemes are the best there is at their size, as the smallest of all.
        assert!(beaten >= 14 && others >= 19, "{name}: {beaten} of {others}");
    }
}
