//! Numbers that can be had by hand.

use weightscope_position::Position;
use weightscope_testkit::conformance;

#[test]
fn conforms() {
    conformance(&Position);
}
