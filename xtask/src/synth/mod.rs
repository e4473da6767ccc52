//! `cargo xtask synth`: checkpoints of real shapes with made-up weights, for benchmarks and demonstrations.
//!
//! Weights are N(0, 0.02^2) like those of a model that was only initialised, norms are ones and biases zero.
//! Bytes depend on preset, element type, seed and defects, not on threads or on how files are cut.

mod layout;
mod normal;
mod orthogonal;
mod plant;
mod preset;
mod write;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use weightscope::DType;
use weightscope_testkit::Random;

use layout::Cut;
use normal::Normal;
use plant::{Plant, Planted};
pub(crate) use preset::Preset;
use write::Recipe;

/// Of weights: what most trainers begin with.
const DEVIATION: f64 = 0.02;

/// What to write.
#[derive(Clone, Debug, Args)]
pub(crate) struct SynthArgs {
    /// Whose names and shapes
    pub(crate) preset: Preset,
    /// The folder, new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Number of blocks [default: the model's own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) blocks: Option<u64>,
    /// Element type [default: what the model is published in]
    #[arg(long)]
    pub(crate) dtype: Option<Float>,
    /// Equal seeds give equal bytes
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Number of files
    #[arg(long, value_name = "K", conflicts_with = "shard_size")]
    pub(crate) shards: Option<usize>,
    /// Largest size of a file's weights, such as 4GB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) shard_size: Option<u64>,
    /// Defects to plant, in the middle block (several after commas, or repeated)
    #[arg(long, value_delimiter = ',')]
    pub(crate) plant: Vec<Plant>,
    /// Writing threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

impl SynthArgs {
    fn new(preset: Preset, out: &Path) -> Self {
        Self {
            preset,
            out: out.to_owned(),
            blocks: None,
            dtype: None,
            seed: 0,
            shards: None,
            shard_size: None,
            plant: Vec::new(),
            threads: None,
        }
    }
}

/// Element type of the weights.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Float {
    Bf16,
    F16,
    F32,
}

/// Writes the checkpoint; what was done, one line each.
pub(crate) fn run(args: &SynthArgs) -> Result<Vec<String>> {
    let start = Instant::now();
    let threads = args.threads.unwrap_or_else(crate::cores);
    let out = &args.out;
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let is_empty = fs::read_dir(out)?.next().is_none();
    ensure!(is_empty, "{} is not empty", out.display());

    let dtype = match args.dtype {
        Some(Float::Bf16) => DType::BF16,
        Some(Float::F16) => DType::F16,
        Some(Float::F32) => DType::F32,
        None => args.preset.dtype(),
    };
    let model = args.preset.model(args.blocks);
    let (mut lines, mut dtypes, mut planted) = (Vec::new(), Vec::new(), Vec::new());
    for (number, tensor) in model.tensors.iter().enumerate() {
        let plant = tensor.place.filter(|plant| args.plant.contains(plant));
        dtypes.push(plant.map_or(dtype, |plant| Planted::dtype(plant, dtype)));
        planted.push(plant.map(|plant| {
            let mut random = write::stream(args.seed, number as u64, u64::MAX);
            let planted = Planted::new(plant, tensor, &mut random);
            lines.push(format!("planted in {}: {}", tensor.name, planted.describe()));
            planted
        }));
    }
    let cut = match (args.shards, args.shard_size) {
        (Some(count), _) => Cut::Count(count),
        (None, Some(size)) => Cut::Size(size),
        (None, None) => Cut::Count(1),
    };
    let (files, index) = layout::files(&model.tensors, &dtypes, cut)?;
    let normal = Normal::new(dtype, DEVIATION)?;
    let recipe = Recipe {
        tensors: &model.tensors,
        dtypes: &dtypes,
        planted: &planted,
        normal: &normal,
        seed: args.seed,
    };
    write::write(out, &files, &recipe, threads)?;
    let write_json = |name: &str, value| {
        let text = serde_json::to_string_pretty(value)? + "\n";
        fs::write(out.join(name), text).with_context(|| out.join(name).display().to_string())
    };
    write_json("config.json", &model.config)?;
    if let Some(index) = &index {
        write_json("model.safetensors.index.json", index)?;
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let seconds = start.elapsed().as_secs_f64();
    lines.push(format!(
        "wrote {}: {} tensors in {} file{}, {:.3} GB in {seconds:.2} s ({:.2} GB/s, {threads} threads)",
        out.display(),
        model.tensors.len(),
        files.len(),
        if files.len() == 1 { "" } else { "s" },
        bytes as f64 / 1e9,
        bytes as f64 / 1e9 / seconds
    ));
    Ok(lines)
}

/// Writes a preset as it is.
pub(crate) fn write_preset(preset: Preset, out: &Path) -> Result<()> {
    run(&SynthArgs::new(preset, out)).map(drop)
}

/// So many values as the weights of a synthetic model have, always the same.
pub(crate) fn normal_values(dtype: DType, count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count * dtype.bytes()];
    Normal::new(dtype, DEVIATION)?.fill(&mut Random::new(0), &mut bytes);
    Ok(bytes)
}

/// `4GB`, `512MB`, `100KB` or bytes; powers of 1000, as model hubs count.
fn size(text: &str) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let (number, unit) =
        [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("B", 1), ("", 1)]
            .into_iter()
            .find_map(|(suffix, unit)| upper.strip_suffix(suffix).map(|number| (number, unit)))
            .unwrap_or((&upper, 1));
    let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| format!("\"{text}\" is no size such as 4GB"))
}
