//! Recognising what no container reads, to say so instead of "invalid header".

use std::path::Path;

use crate::FileError;

const HDF5: &str = "HDF5 of Keras";
const ONNX: &str = "ONNX";
const MSGPACK: &str = "a Flax msgpack checkpoint";
const DISTRIBUTED: &str = "a distributed checkpoint of PyTorch";
const ORBAX: &str = "an Orbax checkpoint of JAX";
const TENSORFLOW: &str = "a checkpoint of TensorFlow";

/// The format that a file's name stands for, when it is one of weights that no container reads.
pub(crate) fn by_extension(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    if ["_metadata", "_checkpoint_metadata", "manifest.ocdbt"].contains(&name.as_str()) {
        return Some(ORBAX);
    }
    if name.ends_with(".ckpt.index") || name.contains(".data-00000-of-") {
        return Some(TENSORFLOW);
    }
    Some(match name.rsplit_once('.')?.1 {
        "h5" | "hdf5" | "keras" => HDF5,
        "onnx" => ONNX,
        "msgpack" => MSGPACK,
        "distcp" => DISTRIBUTED,
        _ => return None,
    })
}

/// The command that makes a readable file of one, for the end of a sentence.
pub(crate) fn conversion(format: &str) -> &'static str {
    match format {
        HDF5 => {
            "; python -c \"from transformers import AutoModel; AutoModel.from_pretrained('.', from_tf=True).save_pretrained('converted')\" in its folder converts it"
        }
        MSGPACK => {
            "; python -c \"from transformers import AutoModel; AutoModel.from_pretrained('.', from_flax=True).save_pretrained('converted')\" in its folder converts it"
        }
        ONNX => {
            "; python -c \"import onnx, onnx.numpy_helper as n, safetensors.numpy as s; s.save_file({t.name: n.to_array(t) for t in onnx.load('FILE').graph.initializer}, 'model.safetensors')\" converts it"
        }
        DISTRIBUTED => {
            "; python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt converts it"
        }
        ORBAX => {
            "; python -c \"import orbax.checkpoint as o, safetensors.flax as s, flax.traverse_util as t; s.save_file(t.flatten_dict(o.PyTreeCheckpointer().restore('FOLDER'), sep='.'), 'model.safetensors')\" converts it"
        }
        TENSORFLOW => {
            "; python -c \"import tensorflow as f, safetensors.numpy as s; r = f.train.load_checkpoint('PREFIX'); s.save_file({k: r.get_tensor(k) for k in r.get_variable_to_shape_map()}, 'model.safetensors')\" converts it"
        }
        _ => "",
    }
}

/// What the first bytes of a file that has no valid safetensors header are.
pub(crate) fn by_content(head: &[u8]) -> Option<FileError> {
    let text = head.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let starts =
        |with: &[u8]| text.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    if starts(b"version https://git-lfs") {
        return Some(FileError::LfsPointer);
    }
    if starts(b"<!doctype html") || starts(b"<html") || starts(b"<head") {
        return Some(FileError::HtmlPage);
    }
    let format = match head {
        [0x89, b'H', b'D', b'F', ..] => HDF5,
        _ => return None,
    };
    Some(FileError::UnsupportedFormat { format })
}
