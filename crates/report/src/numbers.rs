//! Numbers as people read them.

/// Four significant digits: `0.1412`, `-3.027`, `1,234`, `0.0005031`, `5.031e-6`; whole zero is `0`. What is just below
/// one, as similarities are, gets as many more as tell it from one.
pub(crate) fn significant(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if (0.9995..1.0).contains(&x.abs()) {
        let is_below = |digits: &usize| !format!("{:.digits$}", x.abs()).starts_with('1');
        let digits = (4..17).find(is_below).unwrap_or(17);
        return format!("{x:.digits$}");
    }
    // Rounding first, so that 9.9999 has as many digits as 10.
    let scientific = format!("{x:.3e}");
    let exponent = scientific.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok());
    match exponent {
        Some(e) if (-4..3).contains(&e) => format!("{x:.*}", usize::try_from(3 - e).unwrap_or(0)),
        Some(e) if (3..6).contains(&e) => {
            let sign = if x < 0.0 { "-" } else { "" };
            format!("{sign}{}", grouped(x.abs().round() as u64))
        }
        _ => scientific,
    }
}

/// Thousands separated by commas.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in one short word: `768`, `124.4 M`, `7.242 B`.
pub(crate) fn short(n: u64) -> String {
    scaled(n, &["", "K", "M", "B", "T"])
}

/// A size in decimal units: `548.1 MB`.
pub(crate) fn bytes(n: u64) -> String {
    scaled(n, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

fn scaled(n: u64, units: &[&str]) -> String {
    let mut x = n as f64;
    let mut units = units.iter().copied();
    let mut unit = units.next().unwrap_or("");
    let mut whole = true;
    for next in units {
        // 999.95 would be written 1000.
        if x < 999.95 {
            break;
        }
        x /= 1000.0;
        unit = next;
        whole = false;
    }
    let decimals = match x {
        _ if whole => 0,
        x if x < 9.9995 => 3,
        x if x < 99.995 => 2,
        _ => 1,
    };
    format!("{x:.decimals$} {unit}").trim_end().to_owned()
}

/// A share in percent. What is not nothing is never written as nothing, what is not all never as all.
pub(crate) fn share(x: f64) -> String {
    let percent = 100.0 * x;
    match percent {
        0.0 => "0".to_owned(),
        100.0 => "100 %".to_owned(),
        p if p > 0.0 && p < 0.01 => "<0.01 %".to_owned(),
        p if p > 99.99 && p < 100.0 => ">99.99 %".to_owned(),
        p if (9.995..=99.9).contains(&p) => format!("{p:.1} %"),
        p => format!("{p:.2} %"),
    }
}

/// A ratio on a logarithm: `41.3`, without its unit.
pub(crate) fn decibels(x: f64) -> String {
    // Not -0.0.
    format!("{:.1}", (10.0 * x).round() / 10.0 + 0.0)
}

/// A duration: `42 ms`, `3.14 s`, `2 min 5 s`, `1 h 4 min`.
pub(crate) fn seconds(s: f64) -> String {
    if s < 0.0005 {
        return "<1 ms".to_owned();
    }
    if s < 0.9995 {
        return format!("{:.0} ms", s * 1000.0);
    }
    if s < 59.95 {
        let decimals = if s < 9.995 { 2 } else { 1 };
        return format!("{s:.decimals$} s");
    }
    let whole = s.round() as u64;
    if whole < 3600 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else {
        format!("{} h {} min", whole / 3600, whole % 3600 / 60)
    }
}

/// `1 weight`, `2 weights`, `1,024 weights`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", grouped(n))
}

/// Dimensions: `768 x 2304`; a scalar is `scalar`.
pub(crate) fn shape(dimensions: &[u64]) -> String {
    if dimensions.is_empty() {
        return "scalar".to_owned();
    }
    joined(dimensions, " x ")
}

/// Dimensions with something between them.
pub(crate) fn joined(dimensions: &[u64], between: &str) -> String {
    dimensions.iter().map(u64::to_string).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_significant_digits() {
        let cases = [
            (0.0, "0"),
            (0.141_23, "0.1412"),
            (-3.0271, "-3.027"),
            (9.99996, "10.00"),
            (0.99996, "0.99996"),
            (-0.999_999_98, "-0.99999998"),
            (1.0, "1.000"),
            (123.45, "123.5"),
            (-1234.4, "-1,234"),
            (999_949.0, "999,949"),
            (1e6, "1.000e6"),
            (0.001, "0.001000"),
            (-5.0314e-4, "-0.0005031"),
            (5.0314e-5, "5.031e-5"),
            (5.0314e-6, "5.031e-6"),
            (f64::MAX, "1.798e308"),
        ];
        for (x, text) in cases {
            assert_eq!(significant(x), text);
        }
    }

    #[test]
    fn counts_and_sizes() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(124_439_808), "124,439,808");
        assert_eq!(short(768), "768");
        assert_eq!(short(124_439_808), "124.4 M");
        assert_eq!(short(999_999), "1.000 M");
        assert_eq!(short(7_241_732_096), "7.242 B");
        assert_eq!(bytes(548_105_171), "548.1 MB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(u64::MAX), "18.45 EB");
        assert_eq!(plural(1, "weight"), "1 weight");
        assert_eq!(plural(1024, "weight"), "1,024 weights");
        assert_eq!(shape(&[768, 2304]), "768 x 2304");
        assert_eq!(shape(&[]), "scalar");
    }

    #[test]
    fn shares_never_round_to_nothing_or_all() {
        let cases = [
            (0.0, "0"),
            (1e-9, "<0.01 %"),
            (0.0312, "3.12 %"),
            (0.5, "50.0 %"),
            (0.999_999, ">99.99 %"),
            (0.9996, "99.96 %"),
            (1.0, "100 %"),
        ];
        for (x, text) in cases {
            assert_eq!(share(x), text);
        }
    }

    #[test]
    fn durations() {
        assert_eq!(seconds(0.0), "<1 ms");
        assert_eq!(seconds(0.042), "42 ms");
        assert_eq!(seconds(3.248), "3.25 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
        assert_eq!(seconds(3840.0), "1 h 4 min");
    }
}
