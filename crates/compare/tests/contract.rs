//! Both analyzers keep to the contract of their trait, and want nothing of a scan.

use weightscope_compare::{Compare, Lineage};
use weightscope_testkit::models::{Architecture, ModelSpec};
use weightscope_testkit::{conformance, report_of};

#[test]
fn the_contract_is_kept() {
    conformance(&Compare);
    conformance(&Lineage);
}

#[test]
fn a_scan_has_no_pairs() {
    let model = ModelSpec::new(Architecture::Gpt2).blocks(1).seed(3).build();
    let report = report_of(&[&Compare, &Lineage], &model);
    assert_eq!((report.totals.measured, report.conclusions.len()), (0, 0));
}
