//! Files that lost their end, or a bit.

use std::fs;

use crate::common::{folder, run, small};

/// Exit 3 or 4, never 0: what is not whole is never called clean.
#[test]
fn a_file_cut_anywhere_is_never_complete() {
    let folder = folder();
    let file = folder.path().join("m.safetensors");
    let bytes = small().to_bytes();
    let header = bytes.len() - 3 * 24 * 16 * 4;
    // Densely where the header begins and ends, then along the data.
    let mut cuts: Vec<usize> = (0..12).chain(header - 8..=header + 4).collect();
    cuts.extend((12..header).step_by(17));
    cuts.extend((header..bytes.len()).step_by(331));
    cuts.extend(bytes.len() - 4..bytes.len());
    assert!(cuts.len() >= 50, "{}", cuts.len());
    for cut in cuts {
        fs::write(&file, &bytes[..cut]).unwrap();
        let run = run("scan --fail-on info", &[&file]);
        assert!([3, 4].contains(&run.code), "cut at {cut}: {run:?}");
        assert!(run.code == 4 || run.first_line().starts_with("PARTIAL"), "cut at {cut}: {run:?}");
        assert_eq!(run.err.lines().count(), usize::from(run.code == 4), "cut at {cut}: {run:?}");
    }
    fs::write(&file, &bytes).unwrap();
    run("scan", &[&file]).exits(0);
}

/// A shard that lost its end leaves the others to be measured, and the counts true.
#[test]
fn counts_add_up_when_parts_are_lost() {
    let folder = folder();
    let shards = small().write_shards(folder.path(), 3).unwrap();
    let bytes = fs::read(&shards[2]).unwrap();
    for cut in [0, 7, 9, 60, bytes.len() - 1] {
        fs::write(&shards[2], &bytes[..cut]).unwrap();
        let report = run("scan --format json", &[folder.path()]).exits(3).json();
        assert_eq!(report["totals"]["measured"], 2, "cut at {cut}");
        assert!(!report["errors"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_flipped_bit_of_the_header_never_ends_badly() {
    let folder = folder();
    let file = folder.path().join("m.safetensors");
    let bytes = small().to_bytes();
    for at in (0..200).step_by(5) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 7);
        fs::write(&file, &bytes).unwrap();
        let run = run("scan --format json", &[&file]);
        assert!([0, 3, 4].contains(&run.code), "bit in byte {at}: {run:?}");
        let status = run.json()["status"].as_str().unwrap().to_owned();
        let expected = ["complete", "", "", "partial", "rejected"][run.code as usize];
        assert_eq!(status, expected, "bit in byte {at}");
    }
}
