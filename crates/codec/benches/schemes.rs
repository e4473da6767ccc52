//! Rate of measuring every scheme on one core, in stored bytes of BF16 per second, beside reading the same
//! values: blocks of sixteen rows that lie in the first-level cache.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use weightscope_codec::{Block, Errors, Extent, LANES, Lanes, SCHEMES, SPAN};

fn schemes(c: &mut Criterion) {
    let mut state = 1u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    let mut normal = || (0..4).map(|_| uniform()).sum::<f32>();
    let columns: Vec<Lanes> = (0..SPAN).map(|_| Lanes(std::array::from_fn(|_| normal()))).collect();
    let cells = Extent::cells(&columns);
    let channel = Extent::of(&columns);
    let block = Block { columns: &columns, cells: &cells, channel: &channel, tensor: 2.0 };
    let mut group = c.benchmark_group("schemes/16x128");
    group.throughput(Throughput::Bytes((LANES * SPAN * 2) as u64));
    group.bench_function("extremes", |b| b.iter(|| Extent::cells(black_box(&columns))));
    for scheme in SCHEMES {
        let mut errors = Errors::default();
        group.bench_function(scheme.name, |b| {
            b.iter(|| scheme.add_errors(black_box(&block), &mut errors));
        });
    }
    group.finish();
}

criterion_group!(benches, schemes);
criterion_main!(benches);
