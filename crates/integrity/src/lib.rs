//! Non-finite values, zeros, duplicates, cast safety, and whether the checkpoint is complete.
//!
//! Counts and fingerprints come from the shared summary of every tensor; what is missing, misshapen or tied
//! comes from the model's summary, and broken shards from the report's errors.
#![forbid(unsafe_code)]

mod casts;
mod copies;
mod damaged;
mod duplicates;
mod equal_rows;
mod factors;
mod init_like;
mod lost_scale;
mod pickles;
mod structure;
mod values;
mod vectors;

use weightscope_core::stats::{self, Summary};
use weightscope_core::{
    AnalyzeError, Analyzer, CauseSpec, Descriptor, FindingSpec, MetricSpec, ModelGraph, Output,
    ParameterSpec, Parameters, Reach, Report, Severity, Unit, UnitSpec, Verdicts, Weight,
    WeightRecord,
};

/// The analyzer `integrity`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Integrity;

const ID: &str = "integrity";

const COPY_COSINE: ParameterSpec = ParameterSpec {
    key: "copy_cosine",
    default: 0.95,
    doc: "Absolute cosine of two matrices of one role in different blocks that makes one a copy of the other; healthy models stay below 0.70.",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Non-finite values, duplicates, cast safety and completeness",
    metrics: &[
        MetricSpec::new("nan_count", "count", "Not-a-number values."),
        MetricSpec::new("inf_count", "count", "Infinite values."),
        MetricSpec::new(
            "subnormal_count",
            "count",
            "Non-zero values below the smallest normal number of the stored type.",
        ),
        MetricSpec::new("zero_count", "count", "Values that are exactly zero, of either sign."),
        MetricSpec::new("constant", "", "Whether all values (at least two) are finite and equal."),
        MetricSpec::new(
            "content_hash",
            "",
            "XXH3-128 of the stored bytes, hexadecimal: equal for tied and duplicated tensors. Not cryptographic.",
        ),
        MetricSpec::new(
            "f16_overflow_count",
            "count",
            "Finite magnitudes above 65504, which F16 cannot hold.",
        ),
        MetricSpec::new(
            "f16_flush_count",
            "count",
            "Non-zero magnitudes up to 2^-25, which F16 rounds to zero.",
        ),
        MetricSpec::new(
            "f16_digit_count",
            "count",
            "Non-zero magnitudes above 2^-25 and below 1e-6, of which F16 keeps a digit at most.",
        ),
        MetricSpec::new(
            "f16_flush_place",
            "",
            "First and last row and column that hold values which F16 rounds to zero, {rows, columns}, of matrices where more than 1 % of the non-zero values are.",
        ),
        MetricSpec::new(
            "e4m3_overflow_count",
            "count",
            "Finite magnitudes above 448, which F8_E4M3 cannot hold unscaled.",
        ),
        MetricSpec::new(
            "factors",
            "",
            "Of weights stored in blocks or as codes with factors: {count, nan, infinite, zero, spoiled, zeroed}: how many factors there are, how many are not finite or zero (those of whole rows or columns of zeros left out), and where up to 16 of either are, as {rows, columns} of the matrix, first and last.",
        ),
        MetricSpec::new(
            "row_norm_z",
            "",
            "Largest robust z-score of a row's log-norm, scale max(1.4826 MAD, 1/sqrt(2 in)); below 6 in initialised matrices.",
        ),
        MetricSpec::new("column_norm_z", "", "The same of columns, with out in place of in."),
        MetricSpec::new(
            "sketch",
            "",
            "Random projection of every k-th stored row to 128 lanes, hexadecimal bytes: cosines of sketches estimate cosines of weights (standard deviation 0.09 for independent ones, 0.01 near 0.95).",
        ),
        MetricSpec::new(
            "closest",
            "",
            "{weight, cosine}: the weight of the same role in an earlier block whose sketch is most alike, with the exact cosine of the two; only where the sketches' cosine is beyond `copy_cosine`.",
        ),
        MetricSpec::new(
            "largest_values",
            "",
            "The up to 32 largest magnitudes with their rows and columns, largest first, where one is more than 100 times the 90 % quantile of all; undefined otherwise.",
        ),
        MetricSpec::new(
            "zero_run",
            "",
            "{first, count}: the longest run of zeros in the order of the file, of matrices where it is at least 512 values long, begins or ends within a row, and almost no other value is zero.",
        ),
        MetricSpec::new(
            "equal_rows",
            "",
            "Of embeddings, heads and position tables: {sets, largest}: how many sets of equal rows there are (rows of zeros left out), and of the up to 8 largest {count, ranges}, first and last row of each run; the largest says whether it is the mean of all other rows (`is_mean`).",
        ),
    ],
    parameters: &[COPY_COSINE],
    findings: &[
        FindingSpec {
            code: "integrity.non-finite",
            severities: &[Severity::Critical, Severity::Info],
            doc: "NaN anywhere, or infinities outside of a buffer. Infinities in a mask buffer are normal (info).",
            advice: "do not use the checkpoint: go back to the last one before the values broke, and look at loss scale and learning rate there",
        },
        FindingSpec {
            code: "integrity.all-zero",
            severities: &[Severity::Critical, Severity::Warning, Severity::Info],
            doc: "A matrix, embedding, head or position table is all zero. Critical when its siblings are not; a warning when the whole role is zero; info when the model is only initialised, where zero projections are usual. The gains of a norm are all zero: critical, and info where the family multiplies by 1 + w.",
            advice: "reload the tensor from its source; a role that is zero everywhere is an adapter or projection that was never trained",
        },
        FindingSpec {
            code: "integrity.constant",
            severities: &[Severity::Warning],
            doc: "All values of a matrix are equal and not zero; or all gains of a norm are, where those of the same norm in most other blocks are not.",
            advice: "the matrix carries one number: reload it from its source, or check the conversion",
        },
        FindingSpec {
            code: "integrity.missing",
            severities: &[Severity::Critical],
            doc: "A tensor that config.json and the family, or the shard index, promise is not in the files.",
            advice: "download or export the checkpoint again; loaders would fill the gap with random values",
        },
        FindingSpec {
            code: "integrity.shape",
            severities: &[Severity::Critical],
            doc: "A tensor's shape is not what config.json implies, or the reverse of that of its siblings. Tables of tokens, and keys and values, that all have another number of rows are one finding.",
            advice: "config.json or the tensor belongs to another model",
        },
        FindingSpec {
            code: "integrity.truncated",
            severities: &[Severity::Critical],
            doc: "A file ends before its tensors do.",
            advice: "download it again",
        },
        FindingSpec {
            code: "integrity.shard",
            severities: &[Severity::Critical],
            doc: "A shard is missing, broken, listed twice, or not listed in the index.",
            advice: "download the missing or broken file again, or repair the index",
        },
        FindingSpec {
            code: "integrity.unsafe-pickle",
            severities: &[Severity::Critical, Severity::Warning, Severity::Info],
            doc: "A file of torch.save would import more than tensors are made of when it is loaded. Critical when that can run programs or reach files and networks (eval, os, subprocess, getattr ...), or when the file is made to look different to a scanner (a checksum or a flag that is wrong, a second pickle behind the first, an archive in the archive); a warning when nobody here knows what it does; info when it only holds values (scalars of NumPy, paths, argparse). Nothing of it is run, and the weights are measured. A file of weights alone has none of it.",
            advice: "load it with torch.load(..., weights_only=True), or get the weights as safetensors from their author",
        },
        FindingSpec {
            code: "integrity.unexpected",
            severities: &[Severity::Warning, Severity::Info],
            doc: "Tensors that the family named in config.json does not have; a warning where whole blocks are beyond the number that config.json says.",
            advice: "harmless when a loader ignores them; otherwise config.json names the wrong family",
        },
        FindingSpec {
            code: "integrity.f16-overflow",
            severities: &[Severity::Warning],
            doc: "Values above 65504 in a tensor that is stored wider than F16: a cast to F16 makes them infinite. Buffers are left out, masks hold such values on purpose.",
            advice: "keep the tensor in BF16 or F32, or rescale it",
        },
        FindingSpec {
            code: "integrity.f16-underflow",
            severities: &[Severity::Warning, Severity::Info],
            doc: "Values of a tensor that is stored wider than F16 are at or below 2^-25, and become zero in F16: a warning above 20 % of those that are not zero, info from 0.01 % on.",
            advice: "keep the tensor in BF16 or F32: values that become zero can make a divisor zero",
        },
        FindingSpec {
            code: "integrity.damaged",
            severities: &[Severity::Critical],
            doc: "Two or more of a tensor's largest values lie within 32 places of each other and each is beyond 1,000 times every value of its role elsewhere; or one is beyond 10,000 times. Or a run of at least 512 zeros begins or ends within a row of a matrix that has almost no others: a hole in the file. Super weights of trained models stay below a few hundred times the root mean square.",
            advice: "get the file again, and compare its checksum with the source's",
        },
        FindingSpec {
            code: "integrity.huge-value",
            severities: &[Severity::Warning],
            doc: "One value is beyond 1,000 times the next largest, and the tensor is not damaged by the rule of integrity.damaged.",
            advice: "compare the value with the source's: training seldom leaves one like it",
        },
        FindingSpec {
            code: "integrity.empty",
            severities: &[Severity::Critical],
            doc: "Tensors without values where others like them have some; one finding for the checkpoint.",
            advice: "a partitioned model (ZeRO-3, FSDP) was saved without gathering it: save it again with gathered weights",
        },
        FindingSpec {
            code: "integrity.slice",
            severities: &[Severity::Critical],
            doc: "Every matrix that does not have the shape of config.json is exactly 1/n of it along one axis, and all that tensor parallelism cuts are among them: one rank of a tensor-parallel model. One finding for the checkpoint.",
            advice: "join the files of all ranks before use",
        },
        FindingSpec {
            code: "integrity.missing-tower",
            severities: &[Severity::Critical],
            doc: "config.json declares a vision, audio or text tower, and no tensor's name belongs to one.",
            advice: "download or export the checkpoint again, or use the configuration of the part that is there",
        },
        FindingSpec {
            code: "integrity.second-copy",
            severities: &[Severity::Info],
            doc: "At least half of the tensors under a word such as ema or model_ema have the names of others: a second copy of the model.",
            advice: "look at one of the two alone with --include or --exclude",
        },
        FindingSpec {
            code: "integrity.stale-index",
            severities: &[Severity::Critical],
            doc: "The index names files of which none is there, while another complete set of shards is. These are read; loaders that follow the index find nothing.",
            advice: "write the index of the files that are there, or remove it",
        },
        FindingSpec {
            code: "integrity.unread-file",
            severities: &[Severity::Info],
            doc: "Files with weights lie under the given path and were not read: variants, other formats, adapters, folders that no list makes part of the model.",
            advice: "name the file or its folder to look at it",
        },
        FindingSpec {
            code: "integrity.wrapped",
            severities: &[Severity::Info],
            doc: "Names carry what wrappers of training tools put into them (torch.compile, data-parallel and fully sharded training, activation checkpointing, PEFT). They are read without these, and plain loaders will not find them. An adapter that lies unmerged on the weights, and modules that were trained apart, are told with their size.",
            advice: "save the module inside of the wrapper, merge the adapter, or strip these words from the names",
        },
        FindingSpec {
            code: "integrity.equal-rows",
            severities: &[Severity::Info],
            doc: "At least 4 rows of an embedding, head or position table hold the same values, which are not zero. Of positions those side by side: copies at a distance are `position.repeats`.",
            advice: "train them before their tokens are used, or leave those tokens out",
        },
        FindingSpec {
            code: "integrity.unlike-siblings",
            severities: &[Severity::Warning],
            doc: "The gains of a norm (1 + w where the family multiplies by that) are more than 30 times larger or smaller than those of the same norm in the other blocks (median of the root mean squares, of at least two that are of ordinary size).",
            advice: "compare it with its source: a factor of this size is a fault of conversion or merging, not training",
        },
        FindingSpec {
            code: "integrity.shifted-gains",
            severities: &[Severity::Warning],
            doc: "The gains of most norms lie around 0 and have both signs, in a family that multiplies by them: they were stored as w - 1, which other families do.",
            advice: "add 1 to the gains, or name the family that multiplies by 1 + w in config.json",
        },
        FindingSpec {
            code: "integrity.reinitialised",
            severities: &[Severity::Warning],
            doc: "All matrices of a block (at least three) look only initialised, and those of most other blocks do not; or all of the model do, and its token embedding and norms were trained.",
            advice: "reload the block from its source, unless it was added on purpose and is to be trained",
        },
        FindingSpec {
            code: "integrity.duplicate",
            severities: &[Severity::Warning],
            doc: "The same bytes under two names (not constant, not tied by config.json), or the same role in two blocks with an absolute cosine above 0.95, computed from all values where sketches of a few rows say so. Independent matrices have a cosine below 6/sqrt(n); healthy models stay below 0.70.",
            advice: "a block was copied: merged or upscaled models do this on purpose, training does not",
        },
        FindingSpec {
            code: "integrity.tied-mismatch",
            severities: &[Severity::Warning],
            doc: "config.json says that head and token embedding are one tensor but their bytes differ, or the reverse.",
            advice: "a loader that ties them drops one of the two: correct tie_word_embeddings or the export",
        },
        FindingSpec {
            code: "integrity.zero-scale",
            severities: &[Severity::Warning],
            doc: "Scales or factors of a quantised weight are zero: the blocks they scale decode to zero. Blocks of rows or columns that are zero as a whole are left out.",
            advice: "quantise again; a block of zeros usually gets scale 1",
        },
        FindingSpec {
            code: "integrity.lost-scale",
            severities: &[Severity::Warning, Severity::Info],
            doc: "Matrices whose root mean square is more than 50 times max(1/sqrt(in), 0.1), which no initialisation or training leaves: codes of a quantised export whose factors are missing, or a cast that dropped them. A warning; one for the checkpoint when most matrices are. Info when matrices of 8-bit floats have no factors and the values of weights: a plain cast.",
            advice: "export it again with its factors (weight_scale_inv, weight_scale), or convert it with a tool that applies them",
        },
        FindingSpec {
            code: "integrity.untrained",
            severities: &[Severity::Warning, Severity::Info],
            doc: "All matrices of the model look only initialised (kurtosis, norms and spectrum of random values): info. Or a single one does, where its siblings in other blocks (at least two) are clearly trained, 1.5 times beyond the line: a warning. Of queries and keys alone, and of matrices without siblings, it is never said. Needs the spectrum.",
            advice: "reload it from its source, or train it: loading with other names leaves initial values in place",
        },
    ],
    causes: &[
        // Strongest first.
        CauseSpec {
            code: "integrity.damaged",
            from: Severity::Critical,
            explains: ANYTHING,
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "integrity.non-finite",
            from: Severity::Critical,
            explains: ANYTHING,
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "integrity.lost-scale",
            from: Severity::Warning,
            explains: ANYTHING,
            reach: Reach::Model,
        },
        CauseSpec {
            code: "integrity.empty",
            from: Severity::Critical,
            explains: ANYTHING,
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "integrity.slice",
            from: Severity::Critical,
            explains: &["integrity.shape", "integrity.unexpected"],
            reach: Reach::Model,
        },
        CauseSpec {
            code: "integrity.huge-value",
            from: Severity::Warning,
            explains: ANYTHING,
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "integrity.all-zero",
            from: Severity::Info,
            explains: ANYTHING,
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "integrity.constant",
            from: Severity::Warning,
            explains: ANYTHING,
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "integrity.reinitialised",
            from: Severity::Warning,
            explains: ANYTHING,
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "integrity.untrained",
            from: Severity::Warning,
            explains: &[
                "distribution.unlike-siblings",
                "spectral.unlike-siblings",
                "quantization.unlike-siblings",
                "sparsity.unlike-siblings",
            ],
            reach: Reach::Weights,
        },
    ],
    // Damage, lost scales and gains are judged by sizes. The spectrum, which looks only initialised values up, takes too
    // long to come along: without it nothing is said of them.
    reads: &["distribution"],
    ..Descriptor::EMPTY
};

/// What follows from values that are not those of the weight; never what is missing, misshapen or not tied.
const ANYTHING: &[&str] = &[
    "integrity.non-finite",
    "integrity.all-zero",
    "integrity.constant",
    "integrity.huge-value",
    "integrity.f16-overflow",
    "integrity.f16-underflow",
    "integrity.duplicate",
    "integrity.equal-rows",
    "integrity.unlike-siblings",
    "integrity.untrained",
    "distribution.*",
    "spectral.*",
    "quantization.*",
    "sparsity.*",
    "attention.*",
    "position.*",
    "pca.*",
    "tokens.*",
];

impl Analyzer for Integrity {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::each(graph, |_| true)
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let view = unit.first();
        let summary = view.summary()?;
        let is_float = view.dtype()?.is_float();
        measure(view.weight(), &summary, is_float, out);
        if is_float {
            damaged::measure(&view, &summary, out)?;
            damaged::measure_hole(&view, &summary, out)?;
            equal_rows::measure(&view, &summary, out)?;
            casts::measure(&view, &summary, out)?;
        }
        factors::measure(&view, out)
    }

    fn follow_up(
        &self,
        graph: &ModelGraph,
        weights: &[&WeightRecord],
        parameters: &Parameters,
    ) -> Option<Box<dyn Analyzer>> {
        let copies = copies::Copies::of(graph, weights, parameters)?;
        Some(Box::new(copies))
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[COPY_COSINE.key]
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        values::judge(report, out);
        vectors::judge(report, out);
        damaged::judge(report, out);
        casts::judge(report, out);
        equal_rows::judge(report, out);
        duplicates::judge(report, out);
        structure::judge(report, out);
        pickles::judge(report, out);
        init_like::judge(report, out);
        lost_scale::judge(report, out);
    }
}

fn measure(weight: &Weight, summary: &Summary, is_float: bool, out: &mut Output) {
    let tally = &summary.tally;
    if is_float {
        out.metric("nan_count", tally.nan);
        out.metric("inf_count", tally.infinite);
        out.metric("subnormal_count", tally.subnormal);
    }
    out.metric("zero_count", tally.zero);
    out.metric("constant", summary.is_constant());
    out.metric("content_hash", format!("{:032x}", summary.content_hash));
    if !is_float {
        return;
    }
    out.metric("f16_overflow_count", summary.above_f16);
    out.metric("f16_flush_count", summary.flushed_by_f16);
    let [_, below_1e6, ..] = summary.below;
    out.metric(
        "f16_digit_count",
        below_1e6.saturating_sub(summary.flushed_by_f16).saturating_sub(tally.zero),
    );
    out.metric("e4m3_overflow_count", summary.above_e4m3);
    let Some(([rows, columns], norms)) = weight.matrix.zip(summary.norms.as_ref()) else { return };
    let (row_energy, column_energy) = if weight.transposed {
        (&norms.columns, &norms.rows)
    } else {
        (&norms.rows, &norms.columns)
    };
    out.metric_or("row_norm_z", largest_z(row_energy, columns), "fewer than two rows have a norm");
    out.metric_or(
        "column_norm_z",
        largest_z(column_energy, rows),
        "fewer than two columns have a norm",
    );
    out.metric_or(
        "sketch",
        Some(summary.sketch.clone()).filter(|s| !s.is_empty()),
        "the sampled rows are zero",
    );
}

/// Largest absolute robust z-score of the log-norms behind `energies`, each over `length` entries.
fn largest_z(energies: &[f64], length: u64) -> Option<f64> {
    let norms: Vec<f64> = energies.iter().map(|e| e.sqrt()).collect();
    stats::log_norm_z(&norms, length).into_iter().map(f64::abs).reduce(f64::max)
}
