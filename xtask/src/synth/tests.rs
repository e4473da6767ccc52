use std::collections::BTreeMap;
use std::path::Path;

use weightscope::{DType, Scan, TensorSource, WalkOptions};
use weightscope_codec::decode_f64;

use super::*;

/// What `xtask synth` with these arguments writes.
fn synth(arguments: &str) -> tempfile::TempDir {
    use clap::Parser;
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        synth: SynthArgs,
    }
    let folder = tempfile::tempdir().unwrap();
    let words = ["synth"].into_iter().chain(arguments.split_whitespace()).map(str::to_owned);
    let out = ["--out".to_owned(), folder.path().join("m").display().to_string()];
    run(&Cli::try_parse_from(words.chain(out)).unwrap().synth).unwrap();
    folder
}

fn open(folder: &tempfile::TempDir) -> weightscope::Opened {
    weightscope::open(&[folder.path().join("m")], WalkOptions::default(), false).unwrap()
}

/// Every tensor's values by name.
fn values(folder: &tempfile::TempDir) -> BTreeMap<String, Vec<f64>> {
    let checkpoint = open(folder).checkpoint;
    let read = |(number, entry): (u32, &weightscope::TensorEntry)| {
        let mut bytes = vec![0; entry.bytes as usize];
        checkpoint.read_at(weightscope::EntryId(number), 0..entry.bytes, &mut bytes).unwrap();
        let mut values = vec![0.0; entry.elements as usize];
        decode_f64(entry.dtype.unwrap(), &bytes, &mut values).unwrap();
        (entry.name.clone(), values)
    };
    (0..).zip(checkpoint.entries()).map(read).collect()
}

/// Singular values by the library's own means: planted spectra are known without it.
fn spectrum(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let matrix = weightscope_linalg::Dense::new(values, rows, columns).unwrap();
    let options = weightscope_linalg::Options { exact: true };
    let threads = weightscope_linalg::Threads(1);
    weightscope_linalg::singular_values(&matrix, &options, &threads).unwrap().singular_values
}

#[test]
fn every_preset_is_recognised_and_complete() {
    for (preset, family, weights) in [
        ("tiny", "llama", 21),
        ("moe --blocks 1 --dtype f16", "mixtral", 34),
        ("gpt2 --blocks 1 --dtype bf16", "gpt2", 16),
    ] {
        let folder = synth(preset);
        let opened = open(&folder);
        assert_eq!(opened.graph.summary.family, family, "{preset}");
        assert_eq!(opened.graph.weights.len(), weights, "{preset}");
        assert!(
            opened.graph.summary.missing.is_empty(),
            "{preset}: {:?}",
            opened.graph.summary.missing
        );
    }
}

#[test]
fn large_presets_have_the_shapes_of_their_models() {
    for (preset, parameters) in [
        // As published: 6,738,415,616 and 7,721,324,544 parameters; GPT-2 small has 124,439,808.
        (Preset::Llama27b, 6_738_415_616),
        (Preset::Qwen7b, 7_721_324_544),
        (Preset::Gpt2, 124_439_808u64),
    ] {
        let tensors = preset.model(None).tensors;
        let count: u64 = tensors.iter().map(|t| t.shape.iter().product::<u64>()).sum();
        assert_eq!(count, parameters, "{preset:?}");
    }
}

#[test]
fn seeds_and_nothing_else_decide_the_values() {
    let plain = values(&synth("tiny --threads 1"));
    assert_eq!(plain, values(&synth("tiny --threads 3 --shards 4")));
    assert_eq!(plain, values(&synth("tiny --shard-size 40KB")));
    assert_ne!(plain, values(&synth("tiny --seed 1")));
    assert!(plain["model.norm.weight"].iter().all(|v| *v == 1.0));
    let up = &plain["model.layers.0.mlp.up_proj.weight"];
    assert_ne!(up, &plain["model.layers.0.mlp.gate_proj.weight"]);
    let rms = (up.iter().map(|v| v * v).sum::<f64>() / up.len() as f64).sqrt();
    // The standard error of 11,264 values is 0.7 %.
    assert!((rms / 0.02 - 1.0).abs() < 0.03, "{rms}");
}

#[test]
fn shards_have_an_index() {
    let folder = synth("tiny --shards 3");
    let names = |folder: &Path| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let expected = [
        "config.json",
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ];
    assert_eq!(names(&folder.path().join("m")), expected);
    assert!(open(&folder).checkpoint.metadata().errors.is_empty());
}

#[test]
fn planted_defects_are_where_they_are_said_to_be() {
    let all = "--plant kappa,rank,outlier-columns --plant dead-rows --plant nan";
    for preset in ["tiny", "tiny --dtype f16", "tiny --dtype f32 --shards 2"] {
        let sound = values(&synth(preset));
        let sick = values(&synth(&format!("{preset} {all}")));
        let changed: Vec<&str> = sound
            .iter()
            .filter(|(name, values)| sick[*name] != **values)
            .map(|(name, _)| name.as_str())
            .collect();
        let layer = |part: &str| format!("model.layers.1.{part}.weight");
        let [q, o] = ["self_attn.q_proj", "self_attn.o_proj"].map(layer);
        let [up, down] = ["mlp.up_proj", "mlp.down_proj"].map(layer);
        let embedding = "model.embed_tokens.weight";
        assert_eq!(changed, [embedding, &down, &up, &o, &q], "{preset}");

        let (was, is) = (&sound[&up], &sick[&up]);
        for (place, (was, is)) in was.iter().zip(is).enumerate() {
            let factor = if place % 64 % 32 == 16 { 20.0 } else { 1.0 };
            // Twenty times a stored value is rounded once more: by 2^-8 for BF16, 2^-11 for F16.
            assert!((is - factor * was).abs() <= factor * was.abs() / 256.0, "{was} {is}");
        }
        let dead = |row: usize| sick[&q][row * 64..][..64].iter().all(|v| *v == 0.0);
        assert_eq!((0..64).filter(|row| dead(*row)).collect::<Vec<_>>(), [8, 24, 40, 56]);
        let lost = sick[embedding].iter().enumerate().filter(|(_, v)| v.is_nan());
        assert_eq!(lost.map(|(place, _)| place).collect::<Vec<_>>(), [4096, 8192, 12288]);

        // 16 of 64, and what rounding leaves of the rest.
        let rank = spectrum(&sick[&down], 64, 176);
        assert!(rank[15] > 0.1 * rank[0] && rank[16] < 1e-7 * rank[0], "{rank:?}");
        let kappa = spectrum(&sick[&o], 64, 64);
        for (index, value) in kappa.iter().enumerate() {
            let exact = kappa[0] * 1e7f64.powf(-(index as f64) / 63.0);
            // F32 entries of about 0.02 are off by 4e-10 or so, the whole by twice the root of 64 times that.
            assert!((value - exact).abs() < 2e-8, "{index}: {value} {exact}");
        }
        assert!((0.5..2.0).contains(&(kappa[0] / kappa[63] / 1e7)));
    }
}

#[test]
fn scans_see_what_was_planted_and_nothing_else() {
    let scan = |folder: &tempfile::TempDir| {
        Scan::new([folder.path().join("m")]).analyzers(["integrity", "sparsity"]).run().unwrap()
    };
    assert_eq!(scan(&synth("tiny")).findings, []);
    let report = scan(&synth("tiny --plant nan,dead-rows"));
    let found: Vec<_> = report.findings.iter().map(|f| (&*f.code, f.weight.as_deref())).collect();
    let query = "model.layers.1.self_attn.q_proj.weight";
    let expected = [
        ("integrity.non-finite", Some("model.embed_tokens.weight")),
        ("sparsity.dead-units", Some(query)),
    ];
    assert_eq!(found, expected);
    let is_query = |w: &&weightscope::WeightRecord| w.name.ends_with("1.self_attn.q_proj.weight");
    let query = report.weights.iter().find(is_query).unwrap();
    let dead = query.metric("sparsity", "dead_rows").and_then(|rows| rows.get("count")?.as_u64());
    assert_eq!(dead, Some(4));
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let folder = synth("tiny");
    assert!(
        run(&SynthArgs::new(Preset::Tiny, &folder.path().join("m")))
            .unwrap_err()
            .to_string()
            .contains("not empty")
    );
}

#[test]
fn sizes() {
    assert_eq!(size("4GB"), Ok(4_000_000_000));
    assert_eq!(size("300"), Ok(300));
    assert!(size("four").is_err() && size("0").is_err());
    assert_eq!(DType::F32.bytes(), 4);
}
