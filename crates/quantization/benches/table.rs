//! The whole scheme table of one matrix, in stored bytes per second, beside its ceilings: the same bytes copied,
//! decoded, and measured in one scheme of 4-bit groups.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weightscope_codec::{Block, Errors, Extent, LANES, Lanes, SPAN, Scheme};
use weightscope_core::{
    AnalyzeError, Cancel, DType, EntryId, Order, Role, Shared, TensorSource, WeightView,
};
use weightscope_quantization::{Run, measure};
use weightscope_testkit::checkpoint::encode;
use weightscope_testkit::{Random, weight_of};

const SHAPE: [u64; 2] = [4096, 11_008];

struct Threads(usize);

impl Run for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn advance(&self, _: u64) -> Result<(), AnalyzeError> {
        Ok(())
    }
}

fn table(c: &mut Criterion) {
    let mut random = Random::new(1);
    let normal: Vec<f32> = (0..1 << 20).map(|_| 0.02 * random.normal() as f32).collect();
    let values = (SHAPE[0] * SHAPE[1]) as usize;
    for dtype in [DType::BF16, DType::F32] {
        let encoded = encode(dtype, &normal);
        let bytes: Vec<u8> = encoded.iter().copied().cycle().take(values * dtype.bytes()).collect();
        let mut group = c.benchmark_group(format!("quantization/{dtype}-4096x11008"));
        group.sample_size(10);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for (name, shape, transposed) in
            [("", SHAPE, false), ("-stored-across", [SHAPE[1], SHAPE[0]], true)]
        {
            let (source, weight) =
                weight_of(Role::MlpDown, dtype, shape, bytes.clone(), transposed);
            let (shared, cancel) = (Shared::default(), Cancel::default());
            let view = WeightView::new(&weight, &source, &shared, &cancel);
            // Whatever else is measured has it already.
            view.summary().unwrap();
            for threads in [1, 2] {
                let run = Threads(threads);
                group.bench_function(BenchmarkId::new(format!("table{name}"), threads), |b| {
                    b.iter(|| measure(&view, true, &run).unwrap());
                });
            }
            if !transposed {
                let mut copy = vec![0; bytes.len()];
                group.bench_function(BenchmarkId::new("copy", 1), |b| {
                    b.iter(|| source.read_at(EntryId(0), 0..copy.len() as u64, &mut copy).unwrap());
                });
                let mut rows = vec![0f32; LANES * SHAPE[1] as usize];
                group.bench_function(BenchmarkId::new("decode", 1), |b| {
                    b.iter(|| {
                        for first in (0..SHAPE[0]).step_by(LANES) {
                            let range = first..first + LANES as u64;
                            view.block(range, 0..SHAPE[1], Order::RowMajor, &mut rows).unwrap();
                        }
                    });
                });
            }
        }
        let columns: Vec<Lanes> = normal[..LANES * SPAN]
            .chunks(LANES)
            .map(|w| Lanes(std::array::from_fn(|lane| w[lane])))
            .collect();
        let (cells, channel) = (Extent::cells(&columns), Extent::of(&columns));
        let block = Block { columns: &columns, cells: &cells, channel: &channel, tensor: 0.1 };
        let scheme = Scheme::named("int4_g128").unwrap();
        let mut errors = Errors::default();
        group.bench_function(BenchmarkId::new("int4_g128-in-cache", 1), |b| {
            b.iter(|| {
                for _ in 0..values / (LANES * SPAN) {
                    scheme.add_errors(black_box(&block), &mut errors);
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, table);
criterion_main!(benches);
