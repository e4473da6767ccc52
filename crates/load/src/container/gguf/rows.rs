//! Rows of q and k that converters have put into another order.
//!
//! In Llama's own code the two numbers that the rotary embedding turns lie side by side, in Hugging Face's half a head
//! apart. llama.cpp computes as Llama does, so for a number of architectures its converters move the rows of q and k
//! (`LlamaModel.permute`); here they go back to where the original has them.

use weightscope_core::Value;

use super::config;
use crate::container::StoredTensor;
use crate::row_order::RowOrder;

/// Architectures whose q and k are permuted: those of the classes in llama.cpp's `conversion/` that call `permute`.
const PERMUTED: &[&str] = &[
    "llama",
    "mistral3",
    "deci",
    "granite",
    "granitemoe",
    "granitehybrid",
    "smollm3",
    "arcee",
    "olmo",
    "internlm2",
    "minicpm",
    "baichuan",
    "xverse",
];

/// Tells where the rows of q and k lie.
pub(super) fn restore(tensors: &mut [StoredTensor], config: &Value) {
    let Some(own) = config.get(config::OWN) else { return };
    if !own.get("architecture").and_then(Value::as_str).is_some_and(|a| PERMUTED.contains(&a)) {
        return;
    }
    for tensor in tensors {
        tensor.row_order = order(tensor, own);
    }
}

fn order(tensor: &StoredTensor, own: &Value) -> Option<RowOrder> {
    let (block, leaf) = tensor.name.strip_prefix("blk.")?.split_once('.')?;
    let heads = match leaf {
        "attn_q.weight" | "attn_q.bias" => own.get("head_count"),
        "attn_k.weight" | "attn_k.bias" => own.get("head_count_kv").or(own.get("head_count")),
        _ => return None,
    };
    let heads = match heads? {
        Value::List(items) => items.get(block.parse::<usize>().ok()?)?.as_u64()?,
        one => one.as_u64()?,
    };
    let rows = match tensor.shape.as_slice() {
        [rows] | [rows, _] => *rows,
        _ => return None,
    };
    let head = rows.checked_div(heads).filter(|head| head.checked_mul(heads) == Some(rows))?;
    // With two rows there is one pair, and nothing moves.
    (head > 2 && head.is_multiple_of(2)).then_some(RowOrder::Interleaved { head })
}
