//! Blocks of a 4096 x 4096 BF16 weight as f64 on one thread, in bytes of f64 written per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightscope_core::{
    Cancel, Confidence, DType, EntryId, Layout, MemorySource, Order, Part, Role, Shared, Weight,
    WeightView,
};

const SIZE: u64 = 4096;
const LINES: u64 = 504;

fn block(c: &mut Criterion) {
    let mut group = c.benchmark_group("block/4096x4096");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(SIZE * LINES * 8));
    let bytes: Vec<u8> =
        (0..SIZE * SIZE * 2).map(|i| ((i * 2_654_435_761) >> 13) as u8 & 0x3f).collect();
    let mut source = MemorySource::default();
    source.push("w", DType::BF16, &[SIZE, SIZE], bytes).unwrap();
    let weight = Weight {
        name: "w".into(),
        entry: EntryId(0),
        source_tensor: "w".into(),
        role: Role::Other,
        part: Part::Weight,
        stack: None,
        block: None,
        expert: None,
        dtype: Some(DType::BF16),
        shape: vec![SIZE, SIZE],
        layout: Layout::whole(SIZE, SIZE),
        matrix: Some([SIZE, SIZE]),
        transposed: false,
        heads: None,
        fused: Vec::new(),
        from_one: false,
        factor: None,
        confidence: Confidence::Known,
    };
    let (shared, cancel) = (Shared::default(), Cancel::default());
    let view = WeightView::new(&weight, &source, &shared, &cancel);
    let mut values = vec![0f64; (SIZE * LINES) as usize];
    let (some, all) = (1000..1000 + LINES, 0..SIZE);
    for (name, rows, columns, order) in [
        ("504-rows-as-stored", &some, &all, Order::RowMajor),
        ("504-rows-turned", &some, &all, Order::ColumnMajor),
        ("504-columns-as-stored", &all, &some, Order::RowMajor),
        ("504-columns-turned", &all, &some, Order::ColumnMajor),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| view.block(rows.clone(), columns.clone(), order, &mut values).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, block);
criterion_main!(benches);
