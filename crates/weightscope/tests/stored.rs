//! Weights that are stored as codes with factors: what a scan says of the weights, of the factors, and of codes alone.

use weightscope::{DType, Finding, Report, Scan, Severity, WeightRecord};
use weightscope_testkit::Random;
use weightscope_testkit::checkpoint::TestCheckpoint;

const SIDE: usize = 256;
const BLOCKS: usize = 4;

/// `{name}.weight` in E4M3 under a factor for each block of 128 x 128, as `factors` gives them.
fn matrix(
    checkpoint: TestCheckpoint,
    name: &str,
    random: &mut Random,
    factors: &[f32; 4],
    with_factors: bool,
) -> TestCheckpoint {
    let codes: Vec<f32> = (0..SIDE * SIDE).map(|_| (random.normal() * 100.0) as f32).collect();
    let shape = [SIDE as u64, SIDE as u64];
    let checkpoint = checkpoint.values(&format!("{name}.weight"), DType::F8E4M3, &shape, &codes);
    if with_factors {
        let name = format!("{name}.weight_scale_inv");
        checkpoint.values(&name, DType::F32, &[2, 2], factors)
    } else {
        checkpoint
    }
}

fn scan(factors: [f32; 4], with_factors: bool) -> Report {
    let mut random = Random::new(5);
    let mut checkpoint = TestCheckpoint::new();
    for block in 0..BLOCKS {
        let name = format!("model.layers.{block}.self_attn.q_proj");
        let usual = [2e-4; 4];
        let factors = if block == 2 { &factors } else { &usual };
        checkpoint = matrix(checkpoint, &name, &mut random, factors, with_factors);
    }
    let folder = tempfile::tempdir().unwrap();
    checkpoint.write(folder.path()).unwrap();
    Scan::new([folder.path()]).run().unwrap()
}

fn weight(report: &Report, block: usize) -> &WeightRecord {
    let name = format!("model.layers.{block}.self_attn.q_proj.weight");
    report.weights.iter().find(|weight| weight.name == name).unwrap()
}

fn finding<'a>(report: &'a Report, code: &str) -> &'a Finding {
    let found = report.findings.iter().find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("no {code} in {:?}", report.findings))
}

#[test]
fn codes_with_factors_are_one_weight() {
    let report = scan([2e-4; 4], true);
    assert_eq!(report.weights.len(), BLOCKS);
    assert_eq!(report.models[0].parameters, (BLOCKS * SIDE * SIDE) as u64);
    let weight = weight(&report, 1);
    assert_eq!((weight.dtype.as_str(), weight.matrix), ("F32", Some([256, 256])));
    let stored = weight.stored.as_ref().unwrap();
    assert_eq!((stored.scheme.as_str(), stored.bytes), ("fp8 128x128", 65_536 + 16));
    assert_eq!(stored.factor_block, Some([128, 128]));
    assert!((stored.bits_per_weight - 8.001_953).abs() < 1e-6);
    let rms = weight.number("distribution", "rms").unwrap();
    assert!((rms / 0.02 - 1.0).abs() < 0.02, "{rms}");
    assert!(report.findings.iter().all(|f| f.severity == Severity::Info), "{:?}", report.findings);
}

/// The errors of rounding to E4M3 are those of its local steps, so their spectral norm is known within a few percent.
#[test]
fn storage_noise_comes_from_the_steps() {
    let report = scan([2e-4; 4], true);
    let weight = weight(&report, 1);
    let noise = weight.number("spectral", "storage_noise").unwrap();
    assert_eq!(weight.metric("spectral", "storage_grid").unwrap().as_str(), Some("fp8 128x128"));
    // Two codes to the power of two are eight steps: 0.43 u rms for values with the mantissas of a normal.
    let rms = weight.number("distribution", "rms").unwrap();
    let usual = 0.43 * 2f64.powi(-4) * rms * 2.0 * (SIDE as f64).sqrt();
    assert!((noise / usual - 1.0).abs() < 0.1, "{noise} {usual}");
}

#[test]
fn a_factor_that_is_nan_is_told_with_what_it_spoils() {
    let report = scan([2e-4, 2e-4, f32::NAN, 2e-4], true);
    let finding = finding(&report, "integrity.non-finite");
    assert_eq!(finding.weight.as_deref(), Some(weight(&report, 2).name.as_str()));
    assert!(
        finding.message.starts_with(
            "1 of 4 factors are NaN: the blocks of 16384 values they scale (rows 128 to 255, columns 0 to 127)"
        ),
        "{}",
        finding.message
    );
    assert!(finding.advice.contains("export it again"), "{}", finding.advice);
}

#[test]
fn a_factor_that_is_zero_is_told_unless_its_rows_are_padding() {
    let report = scan([2e-4, 0.0, 2e-4, 2e-4], true);
    let finding = finding(&report, "integrity.zero-scale");
    assert!(
        finding.message.contains("1 of 4 factors are zero")
            && finding.message.contains("rows 0 to 127, columns 128 to 255"),
        "{}",
        finding.message
    );
    let padding = scan([2e-4, 2e-4, 0.0, 0.0], true);
    assert!(padding.findings.iter().all(|finding| finding.code != "integrity.zero-scale"));
}

#[test]
fn codes_alone_are_no_weights() {
    let report = scan([2e-4; 4], false);
    let finding = finding(&report, "integrity.lost-scale");
    assert_eq!((finding.severity, &finding.weight), (Severity::Warning, &None));
    assert!(
        finding.message.starts_with("4 of 4 matrices") && finding.message.contains("F8_E4M3 codes"),
        "{}",
        finding.message
    );
}

#[test]
fn a_plain_cast_to_eight_bits_is_a_fact() {
    let mut random = Random::new(5);
    let mut checkpoint = TestCheckpoint::new();
    for block in 0..BLOCKS {
        let values: Vec<f32> = (0..SIDE * SIDE).map(|_| (random.normal() * 0.02) as f32).collect();
        let name = format!("model.layers.{block}.self_attn.q_proj.weight");
        checkpoint = checkpoint.values(&name, DType::F8E4M3, &[SIDE as u64, SIDE as u64], &values);
    }
    let folder = tempfile::tempdir().unwrap();
    checkpoint.write(folder.path()).unwrap();
    let report = Scan::new([folder.path()]).run().unwrap();
    let finding = finding(&report, "integrity.lost-scale");
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.message.contains("a plain cast"), "{}", finding.message);
}
