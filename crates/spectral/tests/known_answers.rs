//! Matrices whose spectra are known.

use weightscope_spectral::Spectral;
use weightscope_testkit::conformance;

#[test]
fn conforms() {
    conformance(&Spectral);
}
