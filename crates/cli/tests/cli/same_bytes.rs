//! Equal runs give equal bytes, whatever the threads and however the file is read.

use crate::common::{fixture, run};

#[test]
fn threads_and_maps_change_no_byte() {
    for name in ["tiny-gpt2", "tiny-llama"] {
        let path = fixture(name);
        let scan =
            |more: &str| run(&format!("scan --no-timings --format json {more}"), &[&path]).exits(0);
        let one = scan("--threads 1");
        let report = one.json();
        assert_eq!(report["status"], "complete");
        assert!(report["timings"].is_null());
        for more in ["--threads 2", "--threads 5", "--mmap", "--mmap --threads 3 --memory 64MiB"] {
            assert!(scan(more).out == one.out, "{name} {more}: the bytes differ");
        }
    }
}

#[test]
fn only_timings_tell_runs_apart() {
    let path = fixture("tiny-llama");
    let scan = || run("scan --format json", &[&path]).exits(0).json();
    let (mut a, mut b) = (scan(), scan());
    assert!(a["timings"]["seconds"].as_f64().unwrap() > 0.0);
    for report in [&mut a, &mut b] {
        report["timings"].take();
    }
    assert!(a == b);
}
