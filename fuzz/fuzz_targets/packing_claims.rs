//! Checkpoints of arbitrary tensors under the names that packings look for, with an arbitrary description of how they
//! are packed: whatever is claimed can be read, or says why not.
#![no_main]

use std::cell::RefCell;
use std::fmt::Write as _;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use weightscope_core::{EntryId, TensorSource};

/// Ends of names that belong together.
const ENDS: &[&str] = &[
    "weight",
    "qweight",
    "qzeros",
    "scales",
    "g_idx",
    "biases",
    "weight_scale",
    "weight_scale_inv",
    "weight_scale_2",
    "weight_global_scale",
    "weight_packed",
    "weight_shape",
    "weight_zero_point",
    "weight_g_idx",
    "weight.absmax",
    "weight.quant_map",
    "weight.quant_state.bitsandbytes__nf4",
    "weight.nested_absmax",
    "weight.nested_quant_map",
    "SCB",
    "scale",
];

const STEMS: &[&str] = &[
    "model.layers.0.self_attn.q_proj.",
    "model.layers.0.mlp.experts.gate_up_proj_blocks",
    "model.layers.0.mlp.experts.gate_up_proj_scales",
];

const TYPES: &[(&str, u64)] = &[
    ("F32", 32),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("I64", 64),
    ("U32", 32),
    ("U8", 8),
    ("I8", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F4", 4),
];

const METHODS: &[&str] =
    &["gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors", "mxfp4", "modelopt", "bitnet"];

#[derive(Arbitrary, Debug)]
struct Tensor {
    stem: u8,
    end: u8,
    kind: u8,
    shape: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Model {
    tensors: Vec<Tensor>,
    method: u8,
    bits: u8,
    group_size: i16,
    flags: u8,
    data: Vec<u8>,
}

impl Model {
    fn config(&self) -> String {
        let method = METHODS[usize::from(self.method) % METHODS.len()];
        let (bits, group, truth) = (self.bits % 17, self.group_size, self.flags % 2 == 0);
        format!(
            r#"{{"quantization_config":{{"quant_method":"{method}","bits":{bits},"group_size":{group},"desc_act":{truth},"sym":{truth},"weight_block_size":[{bits},{bits}],"version":"gemm"}},"quantization":{{"bits":{bits},"group_size":{group}}}}}"#
        )
    }

    fn file(&self) -> Vec<u8> {
        let (mut header, mut end) = (String::from("{"), 0);
        for tensor in self.tensors.iter().take(24) {
            let stem = STEMS[usize::from(tensor.stem) % STEMS.len()];
            let last =
                if stem.ends_with('.') { ENDS[usize::from(tensor.end) % ENDS.len()] } else { "" };
            let (kind, bits) = TYPES[usize::from(tensor.kind) % TYPES.len()];
            let shape: Vec<u64> = tensor.shape.iter().take(4).map(|n| u64::from(n % 65)).collect();
            let size = (shape.iter().product::<u64>() * bits).div_ceil(8);
            if size > 1 << 16 {
                continue;
            }
            let comma = if header.len() > 1 { "," } else { "" };
            let begin = end;
            end += size;
            let _ = write!(
                header,
                r#"{comma}"{stem}{last}":{{"dtype":"{kind}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#
            );
        }
        header.push('}');
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.into_bytes());
        let data = if self.data.is_empty() { &[0][..] } else { &self.data };
        file.extend(data.iter().copied().cycle().take(end as usize));
        file
    }
}

thread_local! {
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

fuzz_target!(|model: Model| {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, model.file()).unwrap();
        std::fs::write(folder.path().join("config.json"), model.config()).unwrap();
        let Ok(checkpoint) = weightscope_load::open(&[path]) else { return };
        for (at, entry) in checkpoint.entries().iter().enumerate() {
            let id = EntryId(at as u32);
            let size = entry.served_bytes();
            // At most so many values for each stored byte, or memory would follow claims.
            assert!(size <= 64 * entry.bytes.max(1), "{entry:?}");
            let mut bytes = vec![0; size as usize];
            let whole = checkpoint.read_at(id, 0..size, &mut bytes);
            if whole.is_err() {
                continue;
            }
            // A piece is the same piece of the whole.
            let (from, to) = (size / 12 * 4, size / 6 * 4);
            let mut piece = vec![0; (to - from) as usize];
            if checkpoint.read_at(id, from..to, &mut piece).is_ok() && entry.stored.is_some() {
                assert_eq!(piece, bytes[from as usize..to as usize], "{entry:?}");
            }
            let mut rounding = vec![0.0; entry.elements as usize];
            if entry.dtype.is_some() && entry.stored.is_some() {
                let _ = checkpoint.rounding_at(id, 0..entry.elements, &mut rounding);
            }
        }
    });
});
