//! Two checkpoints that differ by what conversions do, and by what training does.

use weightscope::{Compare, DType, Report};
use weightscope_testkit::Random;

use crate::{CONFIG, HIDDEN, Tensors, UP, VOCAB, checkpoint_of, llama, matrix, values};

fn compare(base: (&Tensors, DType), tuned: (&Tensors, DType)) -> Report {
    let folders = [base, tuned].map(|(tensors, dtype)| {
        let folder = tempfile::tempdir().unwrap();
        checkpoint_of(tensors, dtype, Some(CONFIG)).write(folder.path()).unwrap();
        folder
    });
    Compare::new(folders[0].path(), folders[1].path()).run().unwrap()
}

/// The first conclusion, with its words.
#[track_caller]
fn concluded<'a>(report: &'a Report, code: &str) -> &'a str {
    let codes: Vec<&str> = report.conclusions.iter().map(|c| &*c.code).collect();
    assert_eq!(codes.first(), Some(&code), "{:#?}", report.conclusions);
    assert!(!codes.contains(&"compare.fine-tuned") || code == "compare.fine-tuned", "{codes:?}");
    &report.conclusions[0].message
}

const B: DType = DType::BF16;

#[test]
fn a_copy_is_identical() {
    let tensors = llama(30);
    concluded(&compare((&tensors, B), (&tensors, B)), "compare.identical");
}

#[test]
fn recasts_are_no_training_in_any_direction() {
    let tensors = llama(31);
    for (from, to) in [
        (DType::F32, B),
        (DType::F32, DType::F16),
        // Both rounded from one source, either way round.
        (DType::F16, B),
        (B, DType::F16),
    ] {
        let said = compare((&tensors, from), (&tensors, to));
        let said = concluded(&said, "compare.recast");
        assert!(said.starts_with("the same weights"), "{from} {to}: {said}");
    }
}

#[test]
fn rows_in_another_order_are_no_training() {
    let base = llama(32);
    let mut tuned = base.clone();
    // Half-split rotary features become interleaved ones, in heads of 16.
    for block in 0..crate::BLOCKS {
        let q = values(&mut tuned, &format!("model.layers.{block}.self_attn.q_proj.weight"));
        let rows: Vec<Vec<f32>> = q.chunks(HIDDEN).map(<[f32]>::to_vec).collect();
        *q = (0..rows.len())
            .flat_map(|row| {
                let (head, within) = (row / 16 * 16, row % 16);
                rows[head + within / 2 + within % 2 * 8].clone()
            })
            .collect();
    }
    let report = compare((&base, B), (&tuned, B));
    let said = concluded(&report, "compare.permuted");
    assert!(said.contains("attention_q") && said.contains("another order"), "{said}");
}

#[test]
fn neurons_in_another_order_are_no_training() {
    let base = llama(33);
    let mut tuned = base.clone();
    let order: Vec<usize> = (0..crate::INNER).map(|i| i * 7 % crate::INNER).collect();
    for block in 0..crate::BLOCKS {
        for name in ["gate", "up"] {
            let name = format!("model.layers.{block}.mlp.{name}_proj.weight");
            let rows: Vec<Vec<f32>> =
                values(&mut tuned, &name).chunks(HIDDEN).map(<[f32]>::to_vec).collect();
            *values(&mut tuned, &name) = order.iter().flat_map(|i| rows[*i].clone()).collect();
        }
        let name = format!("model.layers.{block}.mlp.down_proj.weight");
        let down = values(&mut tuned, &name);
        *down = down.chunks(crate::INNER).flat_map(|r| order.iter().map(|i| r[*i])).collect();
    }
    concluded(&compare((&base, B), (&tuned, B)), "compare.permuted");
    // Recast as well.
    concluded(&compare((&base, DType::F32), (&tuned, B)), "compare.permuted");
}

#[test]
fn factors_and_offsets_are_no_training() {
    let base = llama(34);
    let mut tuned = base.clone();
    values(&mut tuned, UP).iter_mut().for_each(|value| *value *= 4096.0);
    let report = compare((&base, B), (&tuned, B));
    assert!(concluded(&report, "compare.scaled").contains("4096"), "{:#?}", report.conclusions);
    // A norm that is 1 + w on one side.
    let mut tuned = base.clone();
    let norms: Vec<String> = base.keys().filter(|name| name.contains("norm")).cloned().collect();
    for name in &norms {
        values(&mut tuned, name).iter_mut().for_each(|gain| *gain -= 1.0);
    }
    concluded(&compare((&base, DType::F32), (&tuned, DType::F32)), "compare.shifted");
}

#[test]
fn a_square_matrix_may_be_transposed() {
    let base = llama(35);
    let mut tuned = base.clone();
    let name = "model.layers.2.self_attn.o_proj.weight";
    let old = base[name].1.clone();
    *values(&mut tuned, name) =
        (0..HIDDEN * HIDDEN).map(|i| old[i % HIDDEN * HIDDEN + i / HIDDEN]).collect();
    concluded(&compare((&base, B), (&tuned, B)), "compare.transposed");
}

#[test]
fn rows_that_one_side_lacks_are_never_identical() {
    let base = llama(36);
    let mut tuned = base.clone();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let (shape, values) = tuned.get_mut(name).unwrap();
        shape[0] = VOCAB - 16;
        values.truncate(shape[0] * HIDDEN);
    }
    let report = compare((&base, B), (&tuned, B));
    let said = concluded(&report, "compare.rows-cut");
    assert!(said.contains("rows 240 to 255"), "{said}");
    let report = compare((&tuned, B), (&base, B));
    let said = concluded(&report, "compare.rows-added");
    assert!(said.contains("16 more rows"), "{said}");
}

#[test]
fn gains_that_moved_alike_were_trained() {
    let base = llama(40);
    let mut tuned = base.clone();
    values(&mut tuned, "model.norm.weight").iter_mut().for_each(|gain| *gain -= 0.016);
    concluded(&compare((&base, DType::F32), (&tuned, DType::F32)), "compare.fine-tuned");
}

/// The same model under Megatron's names: q, k and v of each group joined, gate and up joined, norms in linear maps.
fn megatron(model: &Tensors) -> Tensors {
    let mut joined = Tensors::new();
    let width = 16 * HIDDEN;
    let concat = |parts: &[&(Vec<usize>, Vec<f32>)]| {
        let values = parts.iter().flat_map(|(_, values)| values.clone()).collect::<Vec<_>>();
        (vec![values.len() / HIDDEN, HIDDEN], values)
    };
    for block in 0..crate::BLOCKS {
        let of = |name: &str| &model[&format!("model.layers.{block}.{name}.weight")];
        let place = format!("decoder.layers.{block}");
        let [q, k, v] = ["q", "k", "v"].map(|name| &of(&format!("self_attn.{name}_proj")).1);
        // Two key-value heads with two queries each.
        let qkv: Vec<f32> = (0..2)
            .flat_map(|group| {
                let queries = &q[2 * group * width..][..2 * width];
                let [key, value] = [k, v].map(|of| &of[group * width..][..width]);
                [queries, key, value].concat()
            })
            .collect();
        let mut add = |name: &str, tensor| joined.insert(format!("{place}.{name}"), tensor);
        add("self_attention.linear_qkv.weight", (vec![8 * 16, HIDDEN], qkv));
        add("self_attention.linear_proj.weight", of("self_attn.o_proj").clone());
        add("mlp.linear_fc1.weight", concat(&[of("mlp.gate_proj"), of("mlp.up_proj")]));
        add("mlp.linear_fc2.weight", of("mlp.down_proj").clone());
        add("self_attention.linear_qkv.layer_norm_weight", of("input_layernorm").clone());
        add("mlp.linear_fc1.layer_norm_weight", of("post_attention_layernorm").clone());
    }
    for (name, from) in [
        ("embedding.word_embeddings.weight", "model.embed_tokens.weight"),
        ("decoder.final_layernorm.weight", "model.norm.weight"),
        ("output_layer.weight", "lm_head.weight"),
    ] {
        joined.insert(name.to_owned(), model[from].clone());
    }
    joined
}

#[test]
fn joined_tensors_pair_with_their_parts() {
    let base = llama(41);
    let joined = megatron(&base);
    let count = base.len();
    // No config.json on the other side: its heads are BASE's.
    let folders = [(&base, Some(CONFIG)), (&joined, None)].map(|(tensors, config)| {
        let folder = tempfile::tempdir().unwrap();
        checkpoint_of(tensors, B, config).write(folder.path()).unwrap();
        folder
    });
    let [hf, megatron] = [&folders[0], &folders[1]].map(tempfile::TempDir::path);
    for (a, b) in [(hf, megatron), (megatron, hf)] {
        let report = Compare::new(a, b).run().unwrap();
        let said = concluded(&report, "compare.identical");
        assert!(said.contains(&format!("all {count} pairs")), "{said}");
        let codes: Vec<&str> = report.conclusions.iter().map(|c| &*c.code).collect();
        assert!(codes.contains(&"compare.regrouped"), "{codes:?}");
    }
    let scan = weightscope::Scan::new([megatron]).run().unwrap();
    assert_eq!(scan.models[0].family, "megatron");
    assert!(scan.weights.iter().all(|w| w.role != weightscope::Role::Other), "roles are known");
}

#[test]
fn experts_of_a_stack_pair_with_single_ones() {
    let mut random = Random::new(42);
    let mut single = Tensors::new();
    for (name, shape) in [("input_layernorm", 0), ("self_attn.q_proj", 1), ("mlp.gate", 4)] {
        let tensor = match shape {
            0 => (vec![HIDDEN], vec![1.0; HIDDEN]),
            1 => matrix(&mut random, HIDDEN, HIDDEN, 0.02),
            rows => matrix(&mut random, rows, HIDDEN, 0.02),
        };
        single.insert(format!("model.layers.0.{name}.weight"), tensor);
    }
    let mut stacked = single.clone();
    let (mut gate_up, mut down) = (Vec::new(), Vec::new());
    for expert in 0..4 {
        let place = format!("model.layers.0.mlp.experts.{expert}");
        for (name, out, input) in [("gate", 32, HIDDEN), ("up", 32, HIDDEN), ("down", HIDDEN, 32)] {
            let tensor = matrix(&mut random, out, input, 0.02);
            if name == "down" { &mut down } else { &mut gate_up }.extend(tensor.1.clone());
            single.insert(format!("{place}.{name}_proj.weight"), tensor);
        }
    }
    let place = "model.layers.0.mlp.experts";
    stacked.insert(format!("{place}.gate_up_proj"), (vec![4, 64, HIDDEN], gate_up));
    stacked.insert(format!("{place}.down_proj"), (vec![4, HIDDEN, 32], down));
    let report = compare((&single, B), (&stacked, B));
    assert!(concluded(&report, "compare.identical").contains("all 15 pairs"));
    let told = report.conclusions.iter().find(|c| c.code == "compare.regrouped").unwrap();
    assert!(told.message.contains("stacked"), "{}", told.message);
}

/// PEFT's state dict of a whole model: q and v carry an adapter, the head was trained apart.
fn wrapped(model: &Tensors) -> Tensors {
    let mut random = Random::new(43);
    let mut wrapped = Tensors::new();
    for (name, tensor) in model {
        let module = format!("base_model.model.{}", name.trim_end_matches(".weight"));
        if name.contains("q_proj") || name.contains("v_proj") {
            wrapped.insert(format!("{module}.base_layer.weight"), tensor.clone());
            let a = matrix(&mut random, 8, HIDDEN, 0.02);
            wrapped.insert(format!("{module}.lora_A.default.weight"), a);
            let b = matrix(&mut random, tensor.0[0], 8, 0.02);
            wrapped.insert(format!("{module}.lora_B.default.weight"), b);
        } else if name.starts_with("lm_head") {
            wrapped.insert(format!("{module}.original_module.weight"), tensor.clone());
            let mut trained = tensor.clone();
            trained.1.iter_mut().for_each(|value| *value *= 1.01);
            wrapped.insert(format!("{module}.modules_to_save.default.weight"), trained);
        } else {
            wrapped.insert(format!("{module}.weight"), tensor.clone());
        }
    }
    wrapped
}

#[test]
fn an_adapter_that_is_still_wrapped_around_its_model_is_told() {
    let base = llama(44);
    let wrapped = wrapped(&base);
    let scan = crate::scan(&wrapped);
    assert_eq!(crate::told(&scan), []);
    let parameters: usize = base.values().map(|(_, values)| values.len()).sum();
    assert_eq!(scan.models[0].parameters, parameters as u64);
    let told = scan.findings.iter().find(|f| f.code == "integrity.wrapped").unwrap();
    let expected = "12 modules carry an unmerged adapter of rank 8 (q_proj, v_proj)";
    assert!(told.message.starts_with(expected), "{}", told.message);
    assert!(told.message.contains("lm_head was trained apart"), "{}", told.message);

    let report = compare((&base, DType::F32), (&wrapped, DType::F32));
    let said = concluded(&report, "compare.adapter-on-top");
    assert!(said.contains("of rank 8 lies on q_proj, v_proj of TUNED"), "{said}");
    let scaled = &report.conclusions[1];
    assert!(scaled.message.starts_with("1 of 57 weights"), "{}", scaled.message);
    assert!(scaled.message.contains("multiplied by 1.01"), "{}", scaled.message);
}

#[test]
fn wrappers_of_training_tools_change_no_comparison() {
    let base = llama(45);
    for prefix in ["module.", "_orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module."] {
        let wrap = |name: &String| {
            let inner = name.replace(".mlp.", "._checkpoint_wrapped_module.mlp.");
            format!("{prefix}{inner}")
        };
        let wrapped: Tensors =
            base.iter().map(|(name, tensor)| (wrap(name), tensor.clone())).collect();
        concluded(&compare((&base, B), (&wrapped, B)), "compare.identical");
        let scan = crate::scan(&wrapped);
        assert_eq!(scan.models[0].missing, Vec::<String>::new());
        assert!(scan.findings.iter().any(|f| f.code == "integrity.wrapped"), "{prefix}");
    }
}

#[test]
fn of_what_hardly_pairs_nothing_is_said() {
    let base = llama(37);
    let mut tuned = Tensors::new();
    let mut random = Random::new(37);
    for block in 0..4 {
        let name = format!("blocks.{block}.mixer.weight");
        tuned.insert(name, matrix(&mut random, 96, 96, 0.02));
    }
    tuned.insert("model.norm.weight".into(), base["model.norm.weight"].clone());
    concluded(&compare((&base, B), (&tuned, B)), "compare.no-verdict");
}

#[test]
fn training_is_still_training() {
    let base = llama(38);
    let mut random = Random::new(38);
    for (rate, part) in [(1e-3, "_proj"), (3e-3, "mlp"), (5e-3, "layers.5."), (2e-3, "")] {
        let mut tuned = base.clone();
        for (name, (_, values)) in &mut tuned {
            if name.contains(part) {
                values.iter_mut().for_each(|v| *v += (rate * random.normal()) as f32);
            }
        }
        let report = compare((&base, DType::F32), (&tuned, DType::F32));
        let said = concluded(&report, "compare.fine-tuned");
        assert!(!said.contains("LoraConfig"), "{said}");
        // White noise is of no low rank.
        assert!(
            report.conclusions.iter().all(|c| !c.message.contains("LoraConfig(r=")),
            "{:#?}",
            report.conclusions
        );
    }
}

#[test]
fn strangers_are_not_fine_tuned() {
    let report = compare((&llama(39), B), (&llama(40), B));
    let codes: Vec<&str> = report.conclusions.iter().map(|c| &*c.code).collect();
    assert!(!codes.contains(&"compare.fine-tuned"), "{:#?}", report.conclusions);
}

/// One change of the matrices of attention and MLPs, and what it is told as.
#[test]
fn what_tools_do_to_values_is_told_as_what_it_is() {
    let base = llama(46);
    let inner = |name: &String| name.contains("_proj");
    let changed = |change: &dyn Fn(&mut Vec<f32>, usize)| {
        let mut tuned = base.clone();
        for (_, (shape, values)) in tuned.iter_mut().filter(|(name, _)| inner(name)) {
            change(values, shape[1]);
        }
        tuned
    };
    let two_of_four = changed(&|values, _| {
        for four in values.chunks_mut(4) {
            let mut order = [0, 1, 2, 3];
            order.sort_by(|a, b| four[*a].abs().total_cmp(&four[*b].abs()));
            order[..2].iter().for_each(|i| four[*i] = 0.0);
        }
    });
    let four_bits = changed(&|values, _| {
        for group in values.chunks_mut(32) {
            let step = group.iter().fold(0.0f32, |m, x| m.max(x.abs())) / 7.0;
            group.iter_mut().for_each(|x| *x = (*x / step).round() * step);
        }
    });
    let eight_bits = changed(&|values, width| {
        for row in values.chunks_mut(width) {
            let step = row.iter().fold(0.0f32, |m, x| m.max(x.abs())) / 127.0;
            row.iter_mut().for_each(|x| *x = (*x / step).round() * step);
        }
    });
    // Three bits of mantissa, with a factor for the tensor.
    let small_floats = changed(&|values, _| {
        values.iter_mut().for_each(|x| {
            let scaled = *x * 777.0;
            *x = f32::from_bits((scaled.to_bits() + 0x7_ffff) & !0xf_ffff) / 777.0;
        });
    });
    for (tuned, code, words) in [
        (two_of_four, "compare.zeroed", "50 % of the values, 2 of 4 in a row"),
        (four_bits, "compare.rounded", "as 4 bits have"),
        (eight_bits, "compare.rounded", "8 bits in each row"),
        (small_floats, "compare.rounded", "a float of 8 bits"),
    ] {
        for dtype in [DType::F32, B] {
            let report = compare((&base, dtype), (&tuned, dtype));
            let said = concluded(&report, code);
            assert!(said.contains(words), "{dtype}: {said}");
            assert!(said.contains("nothing was trained"), "{dtype}: {said}");
        }
    }
}

#[test]
fn damage_of_one_tensor_leaves_the_others_identical() {
    let base = llama(47);
    let name = "model.layers.3.mlp.gate_proj.weight";
    let with = |change: &dyn Fn(&mut Vec<f32>)| {
        let mut tuned = base.clone();
        change(values(&mut tuned, name));
        compare((&base, B), (&tuned, B))
    };
    let mut random = Random::new(48);
    let (_, other) = matrix(&mut random, crate::INNER, HIDDEN, 0.02);
    for (report, code, words) in [
        (with(&|w| w.fill(0.0)), "compare.zeroed", "is zero in TUNED and was not in BASE"),
        (with(&|w| w[96 * HIDDEN..].fill(0.0)), "compare.zeroed", "rows 96 to 159 of"),
        (with(&|w| w.fill(1.0)), "compare.constant", "the value 1.00 everywhere"),
        (with(&|w| w[77] = 4000.0), "compare.edited", "1 value in 1 of 57 weights"),
        (with(&|w| w[77] = f32::NAN), "compare.broken", "NaN or infinite in TUNED"),
        (with(&|w| w.clone_from(&other)), "compare.replaced", "1 of 57 weights holds other values"),
    ] {
        let said = concluded(&report, code);
        assert!(said.contains(words), "{said}");
        let changed =
            report.weights.iter().filter(|w| w.number("compare", "relative_l2") != Some(0.0));
        assert_eq!(changed.count(), 1);
        assert!(!said.contains("trained") || said.contains("nothing was trained"), "{said}");
    }
}

#[test]
fn half_of_the_full_rank_is_still_an_adapter() {
    let base = llama(49);
    let mut tuned = base.clone();
    let mut random = Random::new(50);
    for block in 0..crate::BLOCKS {
        let w = values(&mut tuned, &format!("model.layers.{block}.self_attn.o_proj.weight"));
        let rank = HIDDEN / 2;
        let [a, b] = [(); 2].map(|()| -> Vec<f32> {
            (0..HIDDEN * rank).map(|_| 0.05 * random.normal() as f32).collect()
        });
        for (i, value) in w.iter_mut().enumerate() {
            let (row, column) = (i / HIDDEN, i % HIDDEN);
            let sum: f32 = (0..rank).map(|k| b[row * rank + k] * a[k * HIDDEN + column]).sum();
            *value += sum;
        }
    }
    let report = compare((&base, DType::F32), (&tuned, DType::F32));
    let said = concluded(&report, "compare.merged-adapter");
    assert!(said.contains("exact change of rank 32"), "{said}");
}

#[test]
fn a_change_that_bf16_would_hide_is_one() {
    let base = llama(51);
    let mut random = Random::new(52);
    let mut tuned = Tensors::new();
    for (name, (shape, values)) in &base {
        // BASE's values as BF16 has them, and a tenth of its step.
        let moved = values.iter().map(|x| {
            let bits = (x.to_bits() + 0x7fff + (x.to_bits() >> 16 & 1)) & 0xffff_0000;
            f32::from_bits(bits) * (1.0 + 2e-4 * random.normal() as f32)
        });
        tuned.insert(name.clone(), (shape.clone(), moved.collect()));
    }
    let report = compare((&base, B), (&tuned, DType::F32));
    let said = concluded(&report, "compare.fine-tuned");
    assert!(said.starts_with("fine-tuned: 57 of 57 weights changed"), "{said}");
}
