//! The command line.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use weightscope::report::Format;
use weightscope::{SeriesDetail, Severity};

use crate::plan::PlanArgs;
use crate::plot::PlotArgs;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0    complete
  1    complete, with findings at or above --fail-on or changes above --fail-on-change; a budget that
       cannot be met
  2    the command line makes no sense, or --resume finds another run's journal
  3    partial: something could not be read or measured, or less than half of the parameters of two
       checkpoints could be paired
  4    rejected: nothing could be used
  5    a report could not be written
  130  interrupted (143: terminated)";

/// Look inside the weights of a language model.
#[derive(Debug, Parser)]
#[command(name = "ws-cli", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure every weight of a checkpoint and say what is broken, odd or sparse
    Scan(Box<ScanArgs>),
    /// Measure what changed from one checkpoint to another, weight by weight
    Compare(Box<CompareArgs>),
    /// Say what a checkpoint is, from its headers alone
    Info(InfoArgs),
    /// Draw one weight, or a window of it, with exact values
    Plot(Box<PlotArgs>),
    /// Plan what to do with a checkpoint, from what was measured
    Plan(PlanArgs),
    /// Write a saved report in other formats, or judge it anew
    Report(Box<ReportArgs>),
    /// Look around in a saved report: weights, findings, metrics, curves
    #[cfg(feature = "tui")]
    Browse(BrowseArgs),
    /// Explain a finding, a metric, a parameter or an analyzer
    Explain(ExplainArgs),
    /// List the analyzers
    Analyzers(ColorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// A file (.safetensors, .gguf, or PyTorch's .bin, .pt, .pth, .ckpt), a model folder,
    /// the shards of one checkpoint, or a model by id: org/name[@revision], hf:org/name, ollama:NAME
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Singular values by the direct route alone: certain for tiny ones too, and up to three times slower
    #[arg(long, help_heading = "What to measure")]
    pub(crate) exact: bool,
    /// Test how well power laws fit, by a bootstrap of N samples [default without N: 250]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "250", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "What to measure")]
    pub(crate) alpha_gof: Option<u32>,
    /// Lines that numbers are judged by: what chance makes of the shape, or the customary absolute ones
    #[arg(
        long,
        value_name = "LINES",
        default_value = "calibrated",
        help_heading = "What counts",
        display_order = 1
    )]
    pub(crate) thresholds: Thresholds,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The checkpoint to compare with: a file, a model folder, or a model by id
    #[arg(value_name = "BASE")]
    pub(crate) base: PathBuf,
    /// The checkpoint that may have changed: a file, a model folder, or a model by id
    #[arg(value_name = "TUNED")]
    pub(crate) tuned: PathBuf,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Spectra of every pair that changed, and how far the singular values of the weights moved
    #[arg(long, help_heading = "What to measure")]
    pub(crate) spectral: bool,
    /// No spectra of what changed [default: of all pairs while that is quick, else of the largest movers]
    #[arg(long, conflicts_with = "spectral", help_heading = "What to measure")]
    pub(crate) no_spectra: bool,
    /// Exit with 1 when the relative L2 change of a weight is above this, or a trained weight cannot be compared
    #[arg(long, value_name = "RELATIVE_L2", value_parser = change, allow_negative_numbers = true, help_heading = "What counts", display_order = 3)]
    pub(crate) fail_on_change: Option<f64>,
}

// What a scan and a comparison have in common. Numbers order those headings that have flags of one of them between.
// (A doc comment would replace the command's.)
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Only these analyzers (a,b), or all with some added (+a) or left out (-b)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "What to measure"
    )]
    pub(crate) analyzers: Vec<String>,
    /// Only weights whose names match this glob (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "What to measure")]
    pub(crate) include: Vec<String>,
    /// No weights whose names match this glob (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "What to measure")]
    pub(crate) exclude: Vec<String>,
    /// Measure q, k, v (and gate, up) of fused tensors apart
    #[arg(long, help_heading = "What to measure")]
    pub(crate) split_fused: bool,

    /// Parameters, thresholds and ignored findings, from a TOML file
    #[arg(long, value_name = "FILE", help_heading = "What counts", display_order = 0)]
    pub(crate) config: Option<PathBuf>,
    /// Leave findings with this code out, of weights that match the glob or of all (repeatable)
    #[arg(long, value_name = "CODE[:GLOB]", help_heading = "What counts", display_order = 1)]
    pub(crate) ignore: Vec<String>,
    /// Exit with 1 when a finding is at least this severe
    #[arg(long, value_name = "SEVERITY", help_heading = "What counts", display_order = 2)]
    pub(crate) fail_on: Option<FailOn>,
    /// An earlier JSON report: only findings that it does not have count
    #[arg(long, value_name = "REPORT", help_heading = "What counts", display_order = 4)]
    pub(crate) baseline: Option<PathBuf>,

    /// Write a report here as well: .html, .json, .md, .csv or .txt says the format (repeatable)
    #[arg(short, long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) output: Vec<PathBuf>,
    /// Format of what is printed: table, json, html, markdown or csv
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format, help_heading = "Reports")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) shown: ShownArgs,
    /// Keep long series whole or thinned [default: full up to 1000 weights]
    #[arg(long, value_name = "DETAIL", help_heading = "Reports")]
    pub(crate) series: Option<SeriesArg>,
    /// Look around in the report when it is done, as ws-cli browse does
    #[cfg(feature = "tui")]
    #[arg(long, help_heading = "Reports")]
    pub(crate) browse: bool,
    /// Leave times out of reports, so that equal runs give equal bytes
    #[arg(long, help_heading = "Reports")]
    pub(crate) no_timings: bool,

    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", env = "WEIGHTSCOPE_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "How to run")]
    pub(crate) threads: Option<u16>,
    /// Memory for measuring, such as 512MiB or 2G [default: a quarter of what there is]
    #[arg(long, value_name = "SIZE", env = "WEIGHTSCOPE_MEMORY", value_parser = size, help_heading = "How to run")]
    pub(crate) memory: Option<u64>,
    /// Go on where an interrupted run with the same -o stopped
    #[arg(long, requires = "output", help_heading = "How to run")]
    pub(crate) resume: bool,
    /// Read through memory maps (a file that shrinks meanwhile ends the program)
    #[arg(long, help_heading = "How to run")]
    pub(crate) mmap: bool,
    /// No progress bar
    #[arg(long, help_heading = "How to run")]
    pub(crate) no_progress: bool,
    #[command(flatten)]
    pub(crate) hub: HubArgs,

    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

impl RunArgs {
    /// Whether the browser opens afterwards.
    #[cfg_attr(not(feature = "tui"), expect(clippy::unused_self, reason = "no flag asks for it"))]
    pub(crate) fn browses(&self) -> bool {
        #[cfg(feature = "tui")]
        return self.browse;
        #[cfg(not(feature = "tui"))]
        false
    }
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// A file (.safetensors, .gguf, or PyTorch's .bin, .pt, .pth, .ckpt), a model folder,
    /// the shards of one checkpoint, or a model by id: org/name[@revision], hf:org/name, ollama:NAME
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Format of what is printed: table, json, markdown or csv
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
    #[command(flatten)]
    pub(crate) color: ColorArgs,
    /// Print nothing but problems
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Display")]
    pub(crate) quiet: bool,
    /// List the stored tensors of weights that are stored in several
    #[arg(short, long, help_heading = "Display")]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A JSON report, as scan or compare -o report.json writes it
    #[arg(value_name = "REPORT")]
    pub(crate) path: PathBuf,

    /// Judge the saved numbers anew by a TOML file, as a run with it would
    #[arg(long, value_name = "FILE", help_heading = "What counts")]
    pub(crate) config: Option<PathBuf>,
    /// Judge the saved numbers anew by these lines
    #[arg(long, value_name = "LINES", help_heading = "What counts")]
    pub(crate) thresholds: Option<Thresholds>,
    /// Leave findings with this code out, of weights that match the glob or of all (repeatable)
    #[arg(long, value_name = "CODE[:GLOB]", help_heading = "What counts")]
    pub(crate) ignore: Vec<String>,
    /// Exit with 1 when a finding is at least this severe
    #[arg(long, value_name = "SEVERITY", help_heading = "What counts")]
    pub(crate) fail_on: Option<FailOn>,
    /// An earlier JSON report: only findings that it does not have count
    #[arg(long, value_name = "REPORT", help_heading = "What counts")]
    pub(crate) baseline: Option<PathBuf>,

    /// Write the report here: its ending says the format (repeatable)
    #[arg(short, long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) output: Vec<PathBuf>,
    /// Format of what is printed: table, json, html, markdown or csv [default: table, and nothing with -o]
    #[arg(long, value_name = "FORMAT", value_parser = format, help_heading = "Reports")]
    pub(crate) format: Option<Format>,
    #[command(flatten)]
    pub(crate) shown: ShownArgs,

    #[command(flatten)]
    pub(crate) color: ColorArgs,
    /// Print no report, only problems
    #[arg(short, long, help_heading = "Display")]
    pub(crate) quiet: bool,
}

#[cfg(feature = "tui")]
#[derive(Debug, Args)]
pub(crate) struct BrowseArgs {
    /// A JSON report, as scan or compare -o report.json writes it
    #[arg(value_name = "REPORT")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) color: ColorArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A finding's code, a metric, a parameter or an analyzer, such as sparsity.dead-units or hoyer
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) color: ColorArgs,
}

/// What is done about models that are named by id.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct HubArgs {
    /// Fetch models that are named by id and are not in the cache, as hf:ID does (HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE)
    #[cfg(feature = "hub")]
    #[arg(long, help_heading = "How to run")]
    download: bool,
}

impl HubArgs {
    /// Whether ids are fetched that do not ask for it themselves.
    #[cfg_attr(not(feature = "hub"), expect(clippy::unused_self, reason = "no flag asks for it"))]
    pub(crate) fn downloads(self) -> bool {
        #[cfg(feature = "hub")]
        return self.download;
        #[cfg(not(feature = "hub"))]
        false
    }
}

/// How much of a report a person is shown.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ShownArgs {
    /// Show everything that was found: consequences under their cause, and facts that ask for nothing
    #[arg(long, help_heading = "Reports")]
    pub(crate) all: bool,
    /// Show a table of the numbers of each analyzer
    #[arg(long, help_heading = "Reports")]
    pub(crate) tables: bool,
    /// Rows of tables and entries of findings that are shown [default: 10, and fewer where a screen would be too small]
    #[arg(long, value_name = "N", help_heading = "Reports")]
    pub(crate) top: Option<usize>,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ColorArgs {
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Display")]
    pub(crate) color: ColorArg,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DisplayArgs {
    #[command(flatten)]
    pub(crate) color: ColorArgs,
    /// Print no report, only problems
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Display")]
    pub(crate) quiet: bool,
    /// Say what is being done, on stderr
    #[arg(short, long, help_heading = "Display")]
    pub(crate) verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ColorArg {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FailOn {
    Info,
    Warning,
    Critical,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Info => Self::Info,
            FailOn::Warning => Self::Warning,
            FailOn::Critical => Self::Critical,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Thresholds {
    /// Held against random weights of the same shape, storage and siblings
    Calibrated,
    /// The same lines for every shape; random weights cross them
    Absolute,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SeriesArg {
    Full,
    Summary,
}

impl From<SeriesArg> for SeriesDetail {
    fn from(series: SeriesArg) -> Self {
        match series {
            SeriesArg::Full => Self::Full,
            SeriesArg::Summary => Self::Summary,
        }
    }
}

fn format(text: &str) -> Result<Format, String> {
    text.parse::<Format>().map_err(|error| error.to_string())
}

/// A change from which on a comparison fails.
fn change(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim().parse().ok();
    number
        .filter(|x| x.is_finite() && *x >= 0.0)
        .ok_or_else(|| "neither zero nor a positive number".to_owned())
}

/// `512MiB`, `2G`, `1.5gb`, `100000`: bytes. K, M, G and T are powers of 1024, as are KiB and the rest; KB and
/// the rest are powers of 1000.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.parse().map_err(|_| format!("\"{text}\" does not begin with a number"))?;
    let unit = unit.trim().to_ascii_lowercase();
    let (prefix, base) = match unit.strip_suffix("ib") {
        Some(prefix) => (prefix, 1024.0),
        None => {
            unit.strip_suffix('b').map_or((unit.as_str(), 1024.0), |prefix| (prefix, 1000.0f64))
        }
    };
    let power = match prefix {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(format!("\"{unit}\" is no unit of size; use KiB, MiB, GiB, KB, MB or GB")),
    };
    let bytes = number * base.powi(power);
    if bytes >= 1.0 && bytes < 2f64.powi(63) {
        Ok(bytes as u64)
    } else {
        Err(format!("\"{text}\" is out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_changes() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("2G"), Ok(2 << 30));
        assert_eq!(size("1.5 kb"), Ok(1500));
        assert_eq!(size("77"), Ok(77));
        assert_eq!((change("0"), change("1e-3")), (Ok(0.0), Ok(1e-3)));
        for text in ["-1", "nan", "inf", "1e999", "", "a lot"] {
            assert!(change(text).is_err(), "{text}");
        }
        assert!(size("2 parsecs").is_err() && size("").is_err() && size("0").is_err());
    }
}
