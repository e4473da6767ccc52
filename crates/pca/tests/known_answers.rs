//! Numbers that can be had by hand.

use weightscope_pca::Pca;
use weightscope_testkit::conformance;

#[test]
fn conforms() {
    conformance(&Pca);
}
