//! What a result was measured on.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// One line each: processor, memory, load, tools.
pub(super) fn describe() -> Vec<String> {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok())
        .map_or_else(String::new, |kib| format!(", {:.1} GiB", kib / 1024.0 / 1024.0));
    let simd = if cfg!(target_arch = "x86_64") { wide() } else { "" };
    let mut lines = vec![
        format!("{model}, {} cores for this process{memory}{simd}", crate::cores()),
        format!(
            "{} {}, {}",
            std::env::consts::OS,
            std::env::consts::ARCH,
            output("rustc", &["-V"])
        ),
        format!(
            "weightscope {} at {}, faer {}",
            env!("CARGO_PKG_VERSION"),
            output("git", &["describe", "--always", "--dirty"]),
            locked("faer")
        ),
    ];
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        let one_minute = load.split(' ').next().unwrap_or_default();
        let busy = one_minute.parse().is_ok_and(|load: f64| load > 0.25 * crate::cores() as f64);
        let warning = if busy { ": BUSY, compare nothing" } else { "" };
        lines.push(format!("load average before the start {one_minute}{warning}"));
    }
    lines
}

#[cfg(target_arch = "x86_64")]
fn wide() -> &'static str {
    if has_avx512() {
        ", AVX-512"
    } else if std::arch::is_x86_feature_detected!("avx2") {
        ", AVX2"
    } else {
        ""
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn wide() -> &'static str {
    ""
}

#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn has_avx512() -> bool {
    false
}

/// The first line that a program prints, run in the repository.
fn output(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).current_dir(crate::root()).output();
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// The version of a package in Cargo.lock.
fn locked(package: &str) -> String {
    let lock = fs::read_to_string(crate::root().join("Cargo.lock")).unwrap_or_default();
    let name = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&name).and_then(|(_, rest)| rest.split('"').next());
    version.unwrap_or("unknown").to_owned()
}

/// Most memory that this process has had, in MB; `None` where the system does not say.
pub(super) fn peak_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// The date, UTC.
pub(super) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let [year, month, day] = civil((seconds / 86_400) as i64);
    format!("{year}-{month:02}-{day:02}")
}

/// Year, month and day of a day since 1970 (Hinnant, chrono-compatible low-level date algorithms).
fn civil(day: i64) -> [i64; 3] {
    // Years begin in March here, so that leap days come last.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    [year + 400 * era + i64::from(month <= 2), month, day]
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates() {
        for (day, date) in [
            (0, [1970, 1, 1]),
            (11_016, [2000, 2, 29]),
            (11_017, [2000, 3, 1]),
            (19_782, [2024, 2, 29]),
            (20_453, [2025, 12, 31]),
        ] {
            assert_eq!(civil(day), date);
        }
    }
}
