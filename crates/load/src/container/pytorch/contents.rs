//! Which of the tensors in a pickle are the model.
//!
//! A file may hold a state dict, a training state with the model under a key (`state_dict` of Lightning, `model` of
//! many scripts, `module` of DeepSpeed), or a whole module with its parts in `_modules` and `_parameters`.

use std::collections::HashSet;

use super::pickle::{Id, Node, Pickle};
use super::tensors;
use crate::FileError;
use crate::container::MAX_TENSORS;
use crate::error::size;
use crate::quoted::quoted;

/// Keys under which a model lies, the likeliest first.
const MODEL: &[&str] = &[
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "params",
    "net",
    "network",
    "generator",
    "weights",
];

/// Beginnings of keys whose tensors are no model's: the state of a training run.
const TRAINING: &[&str] = &[
    "optim",
    "lr_sched",
    "sched",
    "rng",
    "random",
    "cuda_rng",
    "torch_rng",
    "numpy_rng",
    "scaler",
    "grad_scaler",
    "amp",
    "callback",
    "loop",
    "hyper_param",
    "hparams",
    "trainer",
    "args",
    "config",
    "cfg",
];

/// Running averages of a model: left where the model itself is there.
const AVERAGES: &[&str] = &[
    "ema",
    "model_ema",
    "ema_model",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema_state_dict",
    "params_ema",
    "net_ema",
    "shadow_params",
];

/// Keys of a module's parts, which are no part of a tensor's name.
const PARTS: &[&str] = &["_parameters", "_buffers", "_modules"];

/// Deepest nesting of dicts above a tensor, and longest name.
const MAX_DEPTH: u32 = 64;
const MAX_NAME_BYTES: usize = 1 << 12;
/// Most values looked at and most bytes of names in all: shared values count each time.
const MAX_STEPS: u64 = 20_000_000;
const MAX_NAMES_BYTES: usize = 100 << 20;
/// So many keys that are left are named.
const NAMED: usize = 12;

/// The tensors of the model by name, and what was chosen and left.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Names repeat where a key was put in twice; the last one is what a loader has.
    pub(super) tensors: Vec<(String, Id)>,
    pub(super) note: Option<String>,
}

/// Finds the model in what a pickle stands for.
pub(super) fn find(pickle: &Pickle<'_>, root: Id) -> Result<Contents, FileError> {
    if tensors::is_tensor(pickle, root) {
        return Ok(Contents { tensors: vec![("tensor".to_owned(), root)], note: None });
    }
    let top = children(pickle, root);
    let is_optimizer =
        ["state", "param_groups"].iter().all(|key| top.iter().any(|(k, _)| k == key));
    if is_optimizer {
        return Err(no_tensors("the state of an optimizer and no model"));
    }
    let mut path: Vec<String> = Vec::new();
    let mut left: Vec<(String, [u64; 2])> = Vec::new();
    let mut chosen = top;
    // The way down: through keys that say that the model lies under them.
    while (path.len() as u64) < 8 {
        let mut seen = HashSet::new();
        let held: Vec<[u64; 2]> =
            chosen.iter().map(|(_, id)| held(pickle, *id, &mut seen)).collect();
        let is_direct =
            |at: usize| chosen.get(at).is_some_and(|(_, id)| tensors::is_tensor(pickle, *id));
        let direct = (0..chosen.len()).filter(|at| is_direct(*at)).count() as u64;
        let has = |at: &usize| !is_direct(*at) && held.get(*at).is_some_and(|[n, _]| *n > 0);
        let at_key = |keys: &[&str]| {
            keys.iter().find_map(|key| {
                (0..chosen.len())
                    .rev()
                    .find(|at| chosen.get(*at).is_some_and(|(k, _)| k == key) && has(at))
            })
        };
        let is_training = |at: usize| {
            chosen.get(at).is_some_and(|(key, _)| {
                let key = key.to_ascii_lowercase();
                key == "opt" || TRAINING.iter().any(|begin| key.starts_with(begin))
            })
        };
        let is_average = |at: usize| {
            chosen
                .get(at)
                .is_some_and(|(key, _)| AVERAGES.contains(&key.to_ascii_lowercase().as_str()))
        };
        let others = (0..chosen.len())
            .any(|at| (has(&at) || is_direct(at)) && !is_training(at) && !is_average(at));
        let model = at_key(MODEL)
            .or_else(|| at_key(AVERAGES).filter(|_| !others))
            .filter(|at| held.get(*at).is_some_and(|[n, _]| *n > direct));
        let kept: Vec<bool> = (0..chosen.len())
            .map(|at| match model {
                Some(model) => at == model,
                None => !(is_training(at) || is_average(at)) || !others,
            })
            .collect();
        for (((key, _), held), kept) in chosen.iter().zip(&held).zip(&kept) {
            if !kept {
                left.push((joined(&path, key), *held));
            }
        }
        let Some((key, id)) = model.and_then(|at| chosen.get(at)) else {
            let mut kept = kept.into_iter();
            chosen.retain(|_| kept.next().unwrap_or(true));
            break;
        };
        path.push(key.clone());
        chosen = children(pickle, *id);
    }
    let mut walk = Walk::new(pickle);
    for (key, id) in chosen {
        let name = if PARTS.contains(&key.as_str()) { String::new() } else { key };
        walk.visit(&name, id, 0)?;
    }
    if walk.tensors.is_empty() {
        let keys: Vec<String> = left.iter().take(NAMED).map(|(key, _)| quoted(key)).collect();
        return Err(no_tensors(&match keys.as_slice() {
            [] => "no tensors".to_owned(),
            keys => format!("no tensors of a model, only {}", keys.join(", ")),
        }));
    }
    Ok(Contents { tensors: walk.tensors, note: note(&path, &left) })
}

fn no_tensors(found: &str) -> FileError {
    FileError::NoTensors { found: found.to_owned() }
}

fn joined(path: &[String], key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{}.{key}", path.join(".")) }
}

/// What was chosen and what else there is, in one sentence.
fn note(path: &[String], left: &[(String, [u64; 2])]) -> Option<String> {
    if path.is_empty() && left.is_empty() {
        return None;
    }
    let what = if path.is_empty() {
        "the tensors of the model are read".to_owned()
    } else {
        format!("the tensors under {} are read", quoted(&path.join(".")))
    };
    let (mut heavy, mut plain) = (Vec::new(), Vec::new());
    for (key, [count, bytes]) in left {
        if *count > 0 {
            let s = if *count == 1 { "" } else { "s" };
            heavy.push(format!("{} ({count} tensor{s}, {})", quoted(key), size(*bytes)));
        } else {
            plain.push(quoted(key));
        }
    }
    heavy.extend(plain);
    let more = heavy.len().saturating_sub(NAMED);
    heavy.truncate(NAMED);
    if more > 0 {
        heavy.push(format!("{more} more"));
    }
    Some(match heavy.as_slice() {
        [] => what,
        others => format!("{what}; not read: {}", others.join(", ")),
    })
}

/// Keys and values of what is a dict, or an object that holds some; a list counts as keys from 0 on.
fn children(pickle: &Pickle<'_>, id: Id) -> Vec<(String, Id)> {
    let keyed = |pairs: &[(Id, Id)]| -> Vec<(String, Id)> {
        let named = pairs.iter().enumerate();
        named.map(|(at, (key, value))| (key_text(pickle, *key, at), *value)).collect()
    };
    match pickle.get(id) {
        Node::Map(pairs) => keyed(pairs),
        Node::List(items) => {
            // Plain values in a list have no keys that anybody would want to know.
            let holds =
                |id: &Id| matches!(pickle.get(*id), Node::List(_) | Node::Map(_) | Node::Object(_));
            let items = items.iter().enumerate().filter(|(_, id)| holds(id));
            items.map(|(at, id)| (at.to_string(), *id)).collect()
        }
        Node::Object(object) => {
            let mut children = keyed(&object.pairs);
            // OrderedDict([[key, value], ...]), as protocols 0 and 1 write it.
            if let (Some(("collections", "OrderedDict")), [list]) =
                (pickle.global(object.callee), object.arguments.as_slice())
            {
                let pairs = pickle.list(*list).unwrap_or_default().iter();
                let pairs: Vec<(Id, Id)> = pairs
                    .filter_map(|pair| match pickle.list(*pair) {
                        Some([key, value]) => Some((*key, *value)),
                        _ => None,
                    })
                    .collect();
                children.extend(keyed(&pairs));
            }
            // The attributes of an object: a dict, or one beside that of its slots.
            let state = object.state.into_iter();
            let parts = state.flat_map(|state| match pickle.get(state) {
                Node::List(parts) => parts.clone(),
                _ => vec![state],
            });
            for part in parts {
                if let Node::Map(pairs) = pickle.get(part) {
                    children.extend(keyed(pairs));
                }
            }
            children
        }
        _ => Vec::new(),
    }
}

fn key_text(pickle: &Pickle<'_>, key: Id, at: usize) -> String {
    match pickle.get(key) {
        Node::Text(text) => text.to_string(),
        Node::Integer(n) => n.to_string(),
        Node::Bool(b) => b.to_string(),
        Node::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => format!("#{at}"),
    }
}

/// How many tensors a value holds and their bytes; what was seen before counts for whoever had it first.
fn held(pickle: &Pickle<'_>, id: Id, seen: &mut HashSet<usize>) -> [u64; 2] {
    let [mut count, mut bytes] = [0_u64; 2];
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        if !seen.insert(Pickle::index(id)) {
            continue;
        }
        if tensors::is_tensor(pickle, id) {
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(tensors::size(pickle, id));
        } else {
            open.extend(children(pickle, id).into_iter().map(|(_, child)| child));
        }
    }
    [count, bytes]
}

/// Gives names to tensors.
#[derive(Debug)]
struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    tensors: Vec<(String, Id)>,
    steps: u64,
    name_bytes: usize,
}

impl<'p, 'a> Walk<'p, 'a> {
    fn new(pickle: &'p Pickle<'a>) -> Self {
        Self { pickle, tensors: Vec::new(), steps: 0, name_bytes: 0 }
    }

    fn visit(&mut self, name: &str, id: Id, depth: u32) -> Result<(), FileError> {
        self.steps = self.steps.saturating_add(1);
        let broken = |reason: String| FileError::BrokenPickle { reason, calls: Vec::new() };
        if self.steps > MAX_STEPS {
            return Err(broken("its dicts hold each other too often".to_owned()));
        }
        if tensors::is_tensor(self.pickle, id) {
            self.name_bytes = self.name_bytes.saturating_add(name.len());
            if name.len() > MAX_NAME_BYTES || self.name_bytes > MAX_NAMES_BYTES {
                return Err(broken(format!(
                    "the names of its tensors are too long: {}",
                    quoted(name)
                )));
            }
            let count = self.tensors.len() as u64;
            if count >= MAX_TENSORS {
                return Err(FileError::TooManyTensors { count: count.saturating_add(1) });
            }
            self.tensors.push((name.to_owned(), id));
            return Ok(());
        }
        let children = children(self.pickle, id);
        if children.is_empty() {
            return Ok(());
        }
        if depth >= MAX_DEPTH || name.len() > MAX_NAME_BYTES {
            return Err(broken(format!("its dicts are nested deeper than {MAX_DEPTH} levels")));
        }
        for (key, child) in children {
            let inner = if PARTS.contains(&key.as_str()) {
                name.to_owned()
            } else if name.is_empty() {
                key
            } else {
                format!("{name}.{key}")
            };
            self.visit(&inner, child, depth.saturating_add(1))?;
        }
        Ok(())
    }
}
