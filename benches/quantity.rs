//! Figures for people: three digits and a unit of the right size.

/// A figure with its unit: `1.25 M ops/s`, `12.5 us`, `64.0 MiB`.
#[must_use]
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "ns" => scaled(value, 1000.0, &["ns", "us", "ms", "s"]),
        "bytes" => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB"]),
        _ => format!("{} {unit}", short(value)).trim_end().to_owned(),
    }
}

/// A number with three digits: `0.00125`, `12.5`, `1.25 M`.
#[must_use]
pub fn short(value: f64) -> String {
    if value == 0.0 || (0.001..1.0).contains(&value.abs()) {
        return trimmed(value, 4);
    }
    if value.abs() < 0.001 {
        return format!("{value:.2e}");
    }
    scaled(value, 1000.0, &["", "k", "M", "G"]).trim_end().to_owned()
}

/// A ratio with its size visible, however small: `12.5`, `0.75`, `0.002`.
#[must_use]
pub fn ratio(value: f64) -> String {
    if value < 0.1 { format!("{value:.3}") } else { short((value * 100.0).round() / 100.0) }
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next().unwrap_or(&"");
    for larger in units {
        if value.abs() < step {
            break;
        }
        value /= step;
        unit = larger;
    }
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{} {unit}", trimmed(value, digits))
}

fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(with_unit(1_250_000.0, "ops/s"), "1.25 M ops/s");
        assert_eq!(with_unit(12_500.0, "ns"), "12.5 us");
        assert_eq!(with_unit(64.0 * 1024.0 * 1024.0, "bytes"), "64 MiB");
        assert_eq!(with_unit(174.0, "bytes"), "174 B");
        assert_eq!(short(20.0), "20");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(0.0), "0");
        assert_eq!((ratio(0.0021).as_str(), ratio(0.75).as_str(), ratio(12.512).as_str()), ("0.002", "0.75", "12.5"));
    }
}
