//! How much memory a scan may use.

use std::fs;

/// Memory when nothing says how much there is.
const FALLBACK: u64 = 4 << 30;

/// Bytes of memory this process can have: the machine's, or its cgroup's limit when that is less.
///
/// Linux only; elsewhere 4 GiB is assumed, and the caller should say.
pub fn available_memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_in_meminfo(&text));
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let cgroup =
        limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min();
    [machine, cgroup].into_iter().flatten().min().unwrap_or(FALLBACK)
}

/// A quarter of [`available_memory`].
pub fn default_budget() -> u64 {
    available_memory() / 4
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total_in_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_in_kibibytes() {
        assert_eq!(
            total_in_meminfo("MemTotal:       24579816 kB\nMemFree: 1 kB\n"),
            Some(24_579_816 * 1024)
        );
        assert_eq!(total_in_meminfo("nothing"), None);
        assert!(default_budget() > 0);
    }
}
