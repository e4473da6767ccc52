//! The naming of shards: `model-00001-of-00003.safetensors`, also `.gguf` and `.bin`.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::ErrorScope;

use crate::container::{Split, StoredFile};
use crate::files::{Files, OpenFile};
use crate::log::ErrorLog;

/// Larger totals are not taken for a numbering.
const MOST_SHARDS: u64 = 100_000;

/// What a name says of its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Set<'a> {
    prefix: &'a str,
    /// As spelled: one published model counts to `000163`.
    total: &'a str,
    /// Digits of the number.
    width: usize,
    count: u64,
    extension: &'static str,
}

const EXTENSIONS: [&str; 3] = [".safetensors", ".gguf", ".bin"];

/// The set and the number of a shard name.
fn parse(name: &str) -> Option<(Set<'_>, u64)> {
    let extension = EXTENSIONS.into_iter().find(|extension| name.ends_with(extension))?;
    let (rest, total) = name.strip_suffix(extension)?.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(total) || !digits(number) {
        return None;
    }
    let (count, at) = (total.parse().ok()?, number.parse().ok()?);
    let valid = count <= MOST_SHARDS && (1..=count).contains(&at);
    valid.then_some((Set { prefix, total, width: number.len(), count, extension }, at))
}

/// Reports the numbers that sets among `names` lack.
pub(crate) fn report_missing(names: &[&str], log: &mut ErrorLog) {
    let mut sets: BTreeMap<Set<'_>, BTreeSet<u64>> = BTreeMap::new();
    for (set, number) in names.iter().filter_map(|name| parse(name)) {
        sets.entry(set).or_default().insert(number);
    }
    for (set, numbers) in sets {
        let Set { prefix, total, width, count, extension } = set;
        for number in (1..=count).filter(|number| !numbers.contains(number)) {
            let name = format!("{prefix}-{number:0width$}-of-{total}{extension}");
            log.add(ErrorScope::Shard, &name, "missing-shard", || {
                format!("the file is not there; {} of {count} shards are", numbers.len())
            });
        }
    }
}

/// The names among `names` that belong to the set of `name`, its own included; `None` when it is named like no shard.
pub(crate) fn set_of<'a>(name: &str, names: &'a BTreeSet<String>) -> Option<Vec<&'a str>> {
    let (set, _) = parse(name)?;
    let members = names.iter().map(String::as_str);
    Some(members.filter(|other| parse(other).is_some_and(|(of, _)| of == set)).collect())
}

/// The only complete set of shards among `names` that are named as those of `index` would be; `None` where there is none,
/// or more than one.
pub(crate) fn whole_set<'a>(index: &str, names: &'a BTreeSet<String>) -> Option<Vec<&'a str>> {
    let extension = EXTENSIONS.into_iter().find(|e| index.contains(&format!("{e}.")))?;
    let mut sets: BTreeMap<Set<'_>, Vec<&str>> = BTreeMap::new();
    for name in names {
        if let Some((set, _)) = parse(name).filter(|(set, _)| set.extension == extension) {
            sets.entry(set).or_default().push(name);
        }
    }
    sets.retain(|set, members| members.len() as u64 == set.count);
    let only = sets.len() == 1;
    sets.into_values().next().filter(|_| only)
}

/// Reports where the parts of a split model contradict each other: numbers, and tensors in all.
pub(crate) fn check_splits(files: &Files, contents: &[StoredFile], log: &mut ErrorLog) {
    let parts: Vec<(&OpenFile, Split, u64)> = std::iter::zip(files.iter(), contents)
        .filter_map(|(file, stored)| {
            // What is twice in a table counts twice.
            let twice = stored.faults.iter().filter(|fault| fault.code == "duplicate-name").count();
            let tensors = stored.tensors.len().saturating_add(twice);
            Some((file, stored.split?, tensors as u64))
        })
        .collect();
    let Some((first, whole, _)) = parts.first().copied() else { return };
    let mut seen = BTreeSet::new();
    for (file, split, _) in &parts {
        let named = parse(&file.name).map(|(_, number)| number);
        let is_wrong = split.number >= split.count
            || !seen.insert(split.number)
            || named.is_some_and(|named| named != split.number.saturating_add(1));
        let fault = if split.count != whole.count {
            format!("says that there are {} parts, the first says {}", split.count, whole.count)
        } else if is_wrong {
            format!("says that it is part {} of {}, from 0", split.number, split.count)
        } else {
            continue;
        };
        log.add(ErrorScope::Shard, &file.name, MISMATCH, || fault);
    }
    // A part that is missing has its own record.
    let is_whole = seen.len() as u64 == whole.count;
    let named = parse(&first.name).map(|(set, _)| set.count);
    if !is_whole && named != Some(whole.count) {
        log.add(ErrorScope::Shard, &first.name, MISMATCH, || {
            format!("is part of {} files, {} of them are read", whole.count, parts.len())
        });
    }
    let tensors = parts.iter().fold(0_u64, |sum, (_, _, tensors)| sum.saturating_add(*tensors));
    if let Some(promised) = whole.tensors.filter(|promised| is_whole && *promised != tensors) {
        log.add(ErrorScope::Shard, &first.name, MISMATCH, || {
            format!("says that all parts have {promised} tensors; they have {tensors}")
        });
    }
}

const MISMATCH: &str = "split-mismatch";

/// Files that are named like members of the same sets as the listed ones, but are not listed.
///
/// Other weights in the folder (adapters, another format's consolidated file, a variant with its own
/// prefix or total) are no members.
pub(crate) fn unlisted<'a>(
    names: &'a BTreeSet<String>,
    listed: &BTreeMap<String, u64>,
) -> Vec<&'a str> {
    let sets: BTreeSet<_> = listed.keys().filter_map(|name| Some(parse(name)?.0)).collect();
    names
        .iter()
        .map(String::as_str)
        .filter(|name| !listed.contains_key(*name))
        .filter(|name| parse(name).is_some_and(|(set, _)| sets.contains(&set)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_shards() {
        let (set, number) = parse("model-00002-of-000163.safetensors").unwrap();
        assert_eq!((set.prefix, set.count, set.width, number), ("model", 163, 5, 2));
        for name in [
            "model.safetensors",
            "model-00000-of-00002.safetensors",
            "model-00003-of-00002.safetensors",
            "model-00001-of-99999999999999999999.safetensors",
            "model-00001-of-999999999.safetensors",
            "model-0000a-of-00002.safetensors",
            "model--of-.safetensors",
            "model-00001-of-00002.pt",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_huge_claimed_set_stays_bounded() {
        let mut log = ErrorLog::default();
        report_missing(&["model-1-of-100000.safetensors"], &mut log);
        let records = log.finish();
        assert_eq!(records.len(), 21);
        assert_eq!(records.last().unwrap().name, "and 99979 more");
    }
}
