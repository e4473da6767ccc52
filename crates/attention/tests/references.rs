//! Ward's linkage of the heads of a real encoder, against scipy.
//!
//! The reference comes from fixtures/references/structure.py.

use std::path::Path;

use weightscope_attention::ward_linkage;

#[test]
fn heads_of_a_real_encoder() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/references/minilm-heads.json");
    let text = std::fs::read_to_string(file).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<Vec<f64>> {
        serde_json::from_value(value.clone()).unwrap()
    };
    let part = &reference["parts"]["q"];
    let (means, expected) = (numbers(&part["means"]), numbers(&part["merges"]));
    assert_eq!((means.len(), means[0].len(), expected.len()), (12, 384, 11));
    let points: Vec<&[f64]> = means.iter().map(Vec::as_slice).collect();
    for (merge, expected) in ward_linkage(&points).iter().zip(&expected) {
        let [a, b] = merge.clusters.map(|cluster| cluster as f64);
        assert_eq!([a, b, merge.size as f64], [expected[0], expected[1], expected[3]]);
        // Both add 384 squares, in different orders.
        assert!(
            (merge.height - expected[2]).abs() <= 1e-12 * expected[2],
            "{merge:?} {expected:?}"
        );
    }
}
