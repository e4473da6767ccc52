//! Tensors of a pickle: from the calls that would rebuild them to where their elements lie.
//!
//! Source: torch's `_utils.py` (`_rebuild_tensor_v2` and its relatives) and `serialization.py` (`persistent_load`).

use std::collections::HashMap;

use super::globals::{self, Element};
use super::pickle::{Id, Node, Object, Pickle};
use crate::container::{MAX_DIMENSIONS, View};
use crate::quoted::quoted;

/// A parameter is a wrapped tensor; wrappers of wrappers are nobody's.
const MAX_WRAPPERS: u32 = 8;

/// The bytes of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// Where storages lie, by key; why one cannot be read.
pub(super) type Storages = HashMap<String, Result<Span, String>>;

/// What a persistent id says of a storage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) element: Element,
    /// How many there are.
    pub(super) count: u64,
    /// First element of the part that a storage of the legacy layout is of another one.
    pub(super) view: u64,
}

/// The storage of a persistent id.
pub(super) fn storage<'a>(pickle: &'a Pickle<'_>, id: Id) -> Option<Storage<'a>> {
    let Node::Persistent(id) = pickle.get(id) else { return None };
    let parts = pickle.list(*id)?;
    let (Some("storage"), [_, class, key, _, count, rest @ ..]) =
        (pickle.text(*parts.first()?), parts)
    else {
        return None;
    };
    let (module, name) = pickle.global(*class)?;
    let view = rest.first().and_then(|id| pickle.list(*id)).and_then(|view| view.get(1));
    Some(Storage {
        key: pickle.text(*key)?,
        element: globals::storage(module, name)?,
        count: pickle.count(*count)?,
        view: view.and_then(|id| pickle.count(*id)).unwrap_or(0),
    })
}

/// A tensor and where it lies.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) element: Element,
    pub(super) shape: Vec<u64>,
    pub(super) elements: u64,
    /// First byte of its first element in the file.
    pub(super) start: u64,
    /// How its elements lie, unless one after the other.
    pub(super) view: Option<View>,
}

/// Whether a value is a tensor, without a look at where it lies.
pub(super) fn is_tensor(pickle: &Pickle<'_>, id: Id) -> bool {
    parts(pickle, id, 0).is_some()
}

/// Bytes that the elements of a tensor would take side by side; 0 for what is no sound tensor.
pub(super) fn size(pickle: &Pickle<'_>, id: Id) -> u64 {
    let Some(Ok(parts)) = parts(pickle, id, 0) else { return 0 };
    let elements =
        parts.shape(pickle).ok().and_then(|shape| weightscope_core::element_count(&shape));
    let width = parts.element(pickle).map_or(0, Element::bytes);
    elements.unwrap_or(0).saturating_mul(width)
}

/// The tensor that a value is: `None` when it is none, and else where it lies or why it cannot be read.
pub(super) fn tensor(
    pickle: &Pickle<'_>,
    id: Id,
    storages: &Storages,
    big_endian: bool,
) -> Option<Result<Tensor, String>> {
    let parts = parts(pickle, id, 0)?;
    Some(parts.and_then(|parts| parts.place(pickle, storages, big_endian)))
}

/// The arguments of a rebuilding call that matter.
#[derive(Clone, Copy, Debug)]
struct Parts {
    storage: Id,
    offset: Id,
    shape: Id,
    strides: Id,
    /// A type that the call names.
    dtype: Option<Id>,
}

fn parts(pickle: &Pickle<'_>, id: Id, depth: u32) -> Option<Result<Parts, String>> {
    let Node::Object(object) = pickle.get(id) else { return None };
    let Object { callee, arguments, .. } = &**object;
    of_call(pickle, *callee, arguments, depth)
}

fn of_call(
    pickle: &Pickle<'_>,
    callee: Id,
    arguments: &[Id],
    depth: u32,
) -> Option<Result<Parts, String>> {
    let wrapped = || {
        let inner = arguments.first().filter(|_| depth < MAX_WRAPPERS)?;
        parts(pickle, *inner, depth.saturating_add(1))
    };
    let direct = |dtype| match arguments {
        [storage, offset, shape, strides, ..] => Ok(Parts {
            storage: *storage,
            offset: *offset,
            shape: *shape,
            strides: *strides,
            dtype,
        }),
        _ => Err("the call that rebuilds it lacks arguments".to_owned()),
    };
    match pickle.global(callee)? {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_qtensor") => {
            Some(direct(None))
        }
        ("torch._utils", "_rebuild_tensor_v3") => Some(direct(arguments.get(6).copied())),
        (
            "torch._utils",
            "_rebuild_parameter"
            | "_rebuild_parameter_with_state"
            | "_rebuild_device_tensor_from_cpu_tensor",
        )
        | ("torch.nn.parameter", "Parameter" | "Buffer") => wrapped(),
        ("torch._tensor", "_rebuild_from_type_v2") => {
            let [function, _, inner, ..] = arguments else { return None };
            let inner = pickle.list(*inner).filter(|_| depth < MAX_WRAPPERS)?;
            of_call(pickle, *function, inner, depth.saturating_add(1))
        }
        ("torch._utils", "_rebuild_sparse_tensor") => {
            Some(Err("is sparse, which is not read".to_owned()))
        }
        ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
            Some(Err("is on the device \"meta\": it was saved without values".to_owned()))
        }
        (
            "torch._utils",
            "_rebuild_wrapper_subclass"
            | "_rebuild_nested_tensor"
            | "_rebuild_device_tensor_from_numpy"
            | "_rebuild_xla_tensor",
        ) => Some(Err("is of a kind that is not read".to_owned())),
        _ => None,
    }
}

impl Parts {
    fn shape(&self, pickle: &Pickle<'_>) -> Result<Vec<u64>, String> {
        numbers(pickle, self.shape).ok_or_else(|| "its shape is no list of counts".to_owned())
    }

    fn element(&self, pickle: &Pickle<'_>) -> Option<Element> {
        match self.dtype {
            Some(dtype) => match pickle.global(dtype)? {
                ("torch", name) => globals::dtype(name),
                _ => None,
            },
            None => storage(pickle, self.storage).map(|storage| storage.element),
        }
    }

    fn place(
        &self,
        pickle: &Pickle<'_>,
        storages: &Storages,
        big_endian: bool,
    ) -> Result<Tensor, String> {
        let storage = storage(pickle, self.storage).ok_or("its storage is none of torch's")?;
        let element = self.element(pickle).ok_or("its element type is not named")?;
        let width = element.bytes();
        let shape = self.shape(pickle)?;
        let strides = numbers(pickle, self.strides).ok_or("its strides are no list of counts")?;
        let offset = pickle.count(self.offset).ok_or("its offset is no count")?;
        if shape.len() as u64 > MAX_DIMENSIONS {
            return Err(format!(
                "{} dimensions, at most {MAX_DIMENSIONS} are allowed",
                shape.len()
            ));
        }
        if strides.len() != shape.len() {
            return Err(format!("{} dimensions and {} strides", shape.len(), strides.len()));
        }
        let elements = shape.iter().try_fold(1u64, |product, d| product.checked_mul(*d));
        let elements = elements
            .filter(|n| n.checked_mul(width).is_some())
            .ok_or_else(|| format!("shape {shape:?} has more elements than can be counted"))?;
        let span = storages
            .get(storage.key)
            .ok_or_else(|| format!("its storage {} is not in the file", quoted(storage.key)))?;
        let span = span.clone()?;
        // What the pickle says of the storage, and what is there.
        let claimed = storage.element.bytes().checked_mul(storage.count);
        if claimed.is_none_or(|claimed| claimed > span.bytes) {
            return Err(format!(
                "its storage {} should have {} elements, the file has {} bytes of it",
                quoted(storage.key),
                storage.count,
                span.bytes
            ));
        }
        let first = offset.checked_add(storage.view);
        let begin = first.and_then(|first| first.checked_mul(width));
        // From the first element to the end of the last one.
        let reach = shape.iter().zip(&strides).try_fold(1u64, |reach, (d, stride)| {
            reach.checked_add(d.saturating_sub(1).checked_mul(*stride)?)
        });
        let reach = reach
            .filter(|_| elements > 0)
            .map_or(if elements == 0 { Some(0) } else { None }, |reach| reach.checked_mul(width));
        let end = begin.zip(reach).and_then(|(begin, reach)| begin.checked_add(reach));
        let fits = end.is_some_and(|end| end <= span.bytes);
        let Some(begin) = begin.filter(|_| fits) else {
            return Err(format!(
                "shape {shape:?} with strides {strides:?} from element {offset} on reaches beyond its storage of {} bytes",
                span.bytes
            ));
        };
        let start = span.start.saturating_add(begin);
        let view = View::new(&shape, strides, width, big_endian).filter(|_| elements > 0);
        Ok(Tensor { element, shape, elements, start, view })
    }
}

fn numbers(pickle: &Pickle<'_>, id: Id) -> Option<Vec<u64>> {
    match pickle.get(id) {
        Node::List(items) => items.iter().map(|item| pickle.count(*item)).collect(),
        // torch.Size(...) around the list.
        Node::Object(object) if pickle.global(object.callee) == Some(("torch", "Size")) => {
            let items = pickle.list(*object.arguments.first()?)?;
            items.iter().map(|item| pickle.count(*item)).collect()
        }
        _ => None,
    }
}
