//! One Rust method on one file of matrices, in a process of its own: `cargo xtask method`, not listed.

use std::cmp::Reverse;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Accum, Mat, MatRef, Par, Spec};
use serde_json::json;
use weightscope::{
    AnalyzeError, Cancel, DType, EntryId, MemorySource, Order, Shared, TensorSource, WalkOptions,
    WeightView, walk,
};
use weightscope_codec::decode_f64;
use weightscope_linalg::{Matrix, Options, Threads, singular_values};

use super::machine;
use super::matrices::{self, Size};

/// Which method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// This project, from BF16 as a scan reads it
    Ours,
    /// faer's singular values, f64
    FaerSvd,
    /// faer's product of the Gram matrix and its eigenvalues, f64
    FaerGram,
    /// faer's matrix product of the shorter side's size, f64, in GFLOP/s
    FaerMatmul,
}

/// What to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct MethodArgs {
    method: Method,
    /// Of the matrices in the file
    #[arg(long, value_delimiter = ',', required = true)]
    sizes: Vec<Size>,
    /// Their BF16 values
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    threads: usize,
    /// Where the singular values go, f64
    #[arg(long)]
    values: Option<PathBuf>,
}

/// Sides of the product whose speed all others are compared with, at most.
const PRODUCT: usize = 2048;

/// Runs it; one line of JSON.
pub(crate) fn run(args: &MethodArgs) -> Result<String> {
    let (method, threads, sizes) = (args.method, args.threads.max(1), args.sizes.as_slice());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    if method == Method::FaerMatmul {
        let side = sizes.iter().map(|size| size.short()).max().unwrap_or(1).min(PRODUCT);
        let [one, all] =
            [Par::Seq, Par::rayon(threads)].map(|par| pool.install(|| product_speed(side, par)));
        return Ok(json!({ "one": one, "all": all }).to_string());
    }
    // Untimed: threads start, code is loaded, the instruction set is chosen.
    let small = Input::new(method, matrices::random(&[Size { rows: 96, columns: 64 }])?)?;
    pool.install(|| small.spectra(method, threads))?;
    let input = Input::new(method, matrices::read(&args.data, sizes)?)?;
    let start = Instant::now();
    let spectra = pool.install(|| input.spectra(method, threads))?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(path) = &args.values {
        let bytes: Vec<u8> = spectra.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(json!({ "seconds": seconds, "peak_mb": machine::peak_mb() }).to_string())
}

/// Matrices as a method takes them. This project decodes while the clock runs; peers get f64 for nothing.
enum Input {
    Stored(Box<MemorySource>),
    /// Tall, column-major: what faer multiplies fastest.
    Decoded(Vec<Mat<f64>>),
}

impl Input {
    fn new(method: Method, source: MemorySource) -> Result<Self> {
        if method == Method::Ours {
            return Ok(Self::Stored(Box::new(source)));
        }
        let mut matrices = Vec::new();
        for (number, entry) in (0..).zip(source.entries()) {
            let mut bytes = vec![0; entry.bytes as usize];
            source.read_at(EntryId(number), 0..entry.bytes, &mut bytes)?;
            let mut values = vec![0.0; entry.elements as usize];
            decode_f64(DType::BF16, &bytes, &mut values)?;
            let sides = (entry.shape[0] as usize, entry.shape[1] as usize);
            let view = MatRef::from_row_major_slice(&values, sides.0, sides.1);
            matrices.push(if sides.0 < sides.1 {
                view.transpose().to_owned()
            } else {
                view.to_owned()
            });
        }
        Ok(Self::Decoded(matrices))
    }

    /// Singular values of each matrix, descending.
    fn spectra(&self, method: Method, threads: usize) -> Result<Vec<Vec<f64>>> {
        let matrices = match self {
            Self::Stored(source) => return ours(source, threads),
            Self::Decoded(matrices) => matrices.iter(),
        };
        let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
        let one = |a: &Mat<f64>| match method {
            Method::FaerSvd => faer_svd(a.as_ref(), par),
            _ => faer_gram(a.as_ref(), par),
        };
        matrices.map(one).collect()
    }
}

/// A weight as it is stored, read in blocks: the way of a scan.
struct Stored<'a>(WeightView<'a>);

impl Matrix for Stored<'_> {
    type Error = AnalyzeError;

    fn shape(&self) -> [usize; 2] {
        self.0.size().map(|side| side as usize)
    }

    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: weightscope_linalg::Order,
        into: &mut [f64],
    ) -> Result<(), AnalyzeError> {
        let wide = |range: Range<usize>| range.start as u64..range.end as u64;
        let order = match order {
            weightscope_linalg::Order::RowMajor => Order::RowMajor,
            weightscope_linalg::Order::ColumnMajor => Order::ColumnMajor,
        };
        self.0.block(wide(rows), wide(columns), order, into)
    }
}

/// One matrix with all threads, or several with one thread each, the largest first.
fn ours(source: &MemorySource, threads: usize) -> Result<Vec<Vec<f64>>> {
    let graph = walk(source.entries(), source.metadata(), &WalkOptions::default());
    let (shared, cancel) = (Shared::default(), Cancel::default());
    let matrices: Vec<Stored<'_>> = graph
        .weights
        .iter()
        .map(|weight| Stored(WeightView::new(weight, source, &shared, &cancel)))
        .collect();
    let spectrum = |matrix: &Stored<'_>, threads| -> Result<Vec<f64>> {
        Ok(singular_values(matrix, &Options::default(), &Threads(threads))?.singular_values)
    };
    if let [matrix] = matrices.as_slice() {
        return Ok(vec![spectrum(matrix, threads)?]);
    }
    let mut order: Vec<usize> = (0..matrices.len()).collect();
    order.sort_by_key(|index| {
        let [rows, columns] = matrices[*index].shape();
        Reverse(rows * columns * rows.min(columns))
    });
    let next = AtomicUsize::new(0);
    let worker = |_: rayon::BroadcastContext<'_>| -> Result<Vec<(usize, Vec<f64>)>> {
        let mut done = Vec::new();
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((index, spectrum(&matrices[index], 1)?));
        }
        Ok(done)
    };
    let mut spectra = vec![Vec::new(); matrices.len()];
    for (index, values) in
        rayon::broadcast(worker).into_iter().collect::<Result<Vec<_>>>()?.concat()
    {
        spectra[index] = values;
    }
    Ok(spectra)
}

fn faer_svd(a: MatRef<'_, f64>, par: Par) -> Result<Vec<f64>> {
    let (rows, columns) = a.shape();
    let none = ComputeSvdVectors::No;
    let mut values = Diag::zeros(columns);
    let scratch = svd_scratch::<f64>(rows, columns, none, none, par, Spec::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    svd(a, values.as_mut(), None, None, par, stack, Spec::default())
        .map_err(|error| anyhow!("{error:?}"))?;
    Ok(values.column_vector().iter().copied().collect())
}

fn faer_gram(a: MatRef<'_, f64>, par: Par) -> Result<Vec<f64>> {
    let side = a.ncols();
    let mut gram = Mat::zeros(side, side);
    triangular::matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        a.transpose(),
        BlockStructure::Rectangular,
        a,
        BlockStructure::Rectangular,
        1.0,
        par,
    );
    let mut values = Diag::zeros(side);
    let scratch =
        self_adjoint_evd_scratch::<f64>(side, ComputeEigenvectors::No, par, Spec::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    self_adjoint_evd(gram.as_ref(), values.as_mut(), None, par, stack, Spec::default())
        .map_err(|error| anyhow!("{error:?}"))?;
    // Ascending, and a little below zero where they should be zero.
    Ok(values.column_vector().iter().rev().map(|value| value.max(0.0).sqrt()).collect())
}

/// GFLOP/s of a product of two square matrices, the best of four.
fn product_speed(side: usize, par: Par) -> f64 {
    let a = Mat::from_fn(side, side, |row, column| ((row + 3 * column) % 7) as f64 - 3.0);
    let mut product = Mat::zeros(side, side);
    let once = || {
        let start = Instant::now();
        matmul(product.as_mut(), Accum::Replace, a.as_ref(), a.as_ref(), 1.0, par);
        2.0 * (side as f64).powi(3) / 1e9 / start.elapsed().as_secs_f64()
    };
    std::iter::repeat_with(once).take(4).fold(0.0, f64::max)
}
