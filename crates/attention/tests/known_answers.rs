//! Numbers that can be had by hand.

use weightscope_attention::Attention;
use weightscope_testkit::conformance;

#[test]
fn conforms() {
    conformance(&Attention);
}
