//! Which tensor lies in which file, and the headers that say so.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};
use weightscope::DType;

use super::preset::Tensor;

/// How a checkpoint is cut into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// So many files of about equal size; one is no shard.
    Count(usize),
    /// As few files as hold this many bytes of weights each, unless one tensor is larger.
    Size(u64),
}

/// A file to be written.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    /// Length and JSON text, as stored.
    pub(super) header: Vec<u8>,
    /// Numbers of tensors with the places of their first bytes in the file.
    pub(super) tensors: Vec<(usize, u64)>,
    /// Of the whole file.
    pub(super) bytes: u64,
}

/// The files of a checkpoint, and `model.safetensors.index.json` when there are several.
pub(super) fn files(
    tensors: &[Tensor],
    dtypes: &[DType],
    cut: Cut,
) -> Result<(Vec<File>, Option<Value>)> {
    let sizes: Vec<u64> = tensors
        .iter()
        .zip(dtypes)
        .map(|(tensor, dtype)| tensor.shape.iter().product::<u64>() * dtype.bytes() as u64)
        .collect();
    let shards = shards(&sizes, cut)?;
    let count = shards.len();
    let mut map = Map::new();
    let files: Vec<File> = (1..)
        .zip(shards)
        .map(|(number, mut members)| {
            let name = if count == 1 {
                "model.safetensors".to_owned()
            } else {
                format!("model-{number:05}-of-{count:05}.safetensors")
            };
            // Wider elements first, so that each begins at a multiple of its width.
            members.sort_by_key(|index| std::cmp::Reverse(dtypes[*index].bytes()));
            for index in &members {
                map.insert(tensors[*index].name.clone(), name.clone().into());
            }
            file(name, &members, tensors, dtypes, &sizes)
        })
        .collect();
    let total: u64 = sizes.iter().sum();
    let index =
        (count > 1).then(|| json!({ "metadata": { "total_size": total }, "weight_map": map }));
    Ok((files, index))
}

/// Runs of tensors, each for one file.
fn shards(sizes: &[u64], cut: Cut) -> Result<Vec<Vec<usize>>> {
    if let Cut::Count(count) = cut {
        ensure!((1..=sizes.len()).contains(&count), "{} tensors in {count} shards", sizes.len());
    }
    let total: u64 = sizes.iter().sum();
    let mut shards: Vec<Vec<usize>> = Vec::new();
    let (mut before, mut here) = (0, 0);
    for (index, size) in sizes.iter().enumerate() {
        let closed = match cut {
            Cut::Size(limit) => here + size > limit,
            Cut::Count(count) => {
                let share = shards.len() as u128 * u128::from(total) / count as u128;
                let needed = count - shards.len();
                // Full, or each of the other files gets one of the remaining tensors.
                needed > 0 && (u128::from(before) >= share || sizes.len() - index <= needed)
            }
        };
        if let Some(shard) = shards.last_mut().filter(|_| !closed) {
            shard.push(index);
        } else {
            shards.push(vec![index]);
            here = 0;
        }
        here += size;
        before += size;
    }
    Ok(shards)
}

fn file(
    name: String,
    members: &[usize],
    tensors: &[Tensor],
    dtypes: &[DType],
    sizes: &[u64],
) -> File {
    let mut text = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    let (mut begin, mut begins) = (0, Vec::new());
    for index in members {
        let (tensor, dtype, end) = (&tensors[*index], dtypes[*index], begin + sizes[*index]);
        let (key, shape) = (json!(tensor.name), json!(tensor.shape));
        let _ = write!(
            text,
            r#",{key}:{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#
        );
        begins.push((*index, begin));
        begin = end;
    }
    text.push('}');
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let header = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let offset = header.len() as u64;
    let tensors = begins.into_iter().map(|(index, begin)| (index, offset + begin)).collect();
    File { name, header, tensors, bytes: offset + begin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_tensors() {
        let cut = |cut| shards(&[5, 1, 1, 1, 4], cut).unwrap();
        assert_eq!(cut(Cut::Count(1)), [vec![0, 1, 2, 3, 4]]);
        assert_eq!(cut(Cut::Count(2)), [vec![0, 1], vec![2, 3, 4]]);
        assert_eq!(cut(Cut::Count(5)).len(), 5);
        assert_eq!(cut(Cut::Size(5)), [vec![0], vec![1, 2, 3], vec![4]]);
        assert_eq!(cut(Cut::Size(1)).len(), 5);
        assert_eq!(shards(&[100, 1, 1], Cut::Count(3)).unwrap().len(), 3);
        assert!(shards(&[1], Cut::Count(2)).is_err() && shards(&[1], Cut::Count(0)).is_err());
    }
}
