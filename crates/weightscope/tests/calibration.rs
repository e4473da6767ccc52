//! Models that were only initialised must raise no alarm, whatever the initialisation.

use weightscope::{DType, Finding, Report, Severity, builtin_registry};
use weightscope_testkit::models::{Architecture, Init, ModelSpec};
use weightscope_testkit::report_of;

/// How many models are scanned.
const MODELS: u64 = 200;
/// How many of them may carry a finding above info: 1 % by chance alone is 2, and more than 6 has probability 0.005.
const MOST_WITH_FINDINGS: usize = 6;

/// Model number `n`: every architecture with every initialisation, and the rest dealt by different counts.
fn spec(n: u64) -> ModelSpec {
    let at = |period: u64, length: usize| (n / period % length as u64) as usize;
    let wide = n % 9 == 8;
    let blocks = if wide { 2 } else { [2, 6, 8][at(3, 3)] };
    let architecture = Architecture::ALL[at(1, 4)];
    // It has two towers.
    let blocks = if architecture == Architecture::Seq2Seq { blocks / 2 } else { blocks };
    ModelSpec::new(architecture)
        .init(Init::ALL[at(4, 5)])
        .dtype([DType::F32, DType::BF16, DType::F16][at(1, 3)])
        .width(if wide { 128 } else { 64 })
        .blocks(blocks)
        .tied(at(5, 2) == 0)
        .unit_embeddings(at(7, 2) == 0)
        .zero_projections(at(11, 6) == 0)
        .seed(n)
}

fn scan(n: u64) -> Report {
    report_of(&builtin_registry().analyzers(), &spec(n).build())
}

#[test]
fn initialised_models_raise_no_alarm() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8) as u64;
    let reports: Vec<(u64, Report)> = std::thread::scope(|scope| {
        let scan_share = |first| (first..MODELS).step_by(threads as usize).map(|n| (n, scan(n)));
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || scan_share(first).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(reports.len() as u64, MODELS);
    let mut alarmed = Vec::new();
    for (n, report) in &reports {
        assert_eq!(report.errors, [], "model {n}");
        // What these look for cannot happen by chance, not even as something to be told.
        let structural = report
            .findings
            .iter()
            .find(|f| f.code.starts_with("attention.") || f.code.starts_with("position."));
        assert_eq!(structural, None, "model {n} {:?}", spec(*n));
        // Nor do random weights come near the lines of quantization.
        let is_alarm = |f: &&Finding| f.severity > Severity::Info;
        let coarse =
            report.findings.iter().filter(is_alarm).find(|f| f.code.starts_with("quantization."));
        assert_eq!(coarse, None, "model {n} {:?}", spec(*n));
        let above: Vec<String> = report
            .findings
            .iter()
            .filter(is_alarm)
            .map(|f| format!("{} {} {:?}: {}", f.severity, f.code, f.weight.as_deref(), f.message))
            .collect();
        if !above.is_empty() {
            alarmed.push(format!("{n} {:?}: {above:#?}", spec(*n)));
        }
    }
    // Every one is told in one line that it was never trained.
    let silent: Vec<String> = reports
        .iter()
        .filter(|(_, report)| {
            let untrained = report.findings.iter().filter(|f| f.code == "integrity.untrained");
            untrained.map(|f| f.weight.is_none()).collect::<Vec<_>>() != [true]
        })
        .map(|(n, _)| format!("{n} {:?}", spec(*n)))
        .collect();
    assert!(silent.is_empty(), "{} of {MODELS}:\n{}", silent.len(), silent.join("\n"));
    assert!(
        alarmed.len() <= MOST_WITH_FINDINGS,
        "{} of {MODELS} carry findings above info:\n{}",
        alarmed.len(),
        alarmed.join("\n")
    );
}
