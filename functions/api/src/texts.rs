//! Texts for people, in one form everywhere.

/// Renders a size: `512 B`, `1.50 MB`. Units are powers of 1024.
pub(crate) fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut divisor = 1024;
    while bytes / divisor >= 1024 && unit + 1 < UNITS.len() {
        divisor *= 1024;
        unit += 1;
    }
    // In hundredths and whole numbers, so that no size is rounded by its floating-point form.
    let hundredths = (u128::from(bytes) * 100 + u128::from(divisor) / 2) / u128::from(divisor);
    format!("{}.{:02} {}", hundredths / 100, hundredths % 100, UNITS[unit])
}

/// Renders a number of things: `1 database`, `2 databases`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Renders what a program said on one line, of at most so many characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_two_decimals_from_a_kilobyte_on() {
        let sizes = [0, 1, 1023, 1024, 1_572_864, 5 << 30, 3 << 40, 4 << 50, u64::MAX];
        assert_eq!(
            sizes.map(size_text),
            [
                "0 B",
                "1 B",
                "1023 B",
                "1.00 KB",
                "1.50 MB",
                "5.00 GB",
                "3.00 TB",
                "4096.00 TB",
                "16777216.00 TB"
            ]
        );
    }

    #[test]
    fn a_line_has_no_breaks_and_an_end() {
        assert_eq!(
            one_line("psql: error:\n\tIs the  server\r\nrunning?", 100),
            "psql: error: Is the server running?"
        );
        assert_eq!(one_line("größer", 3), "grö");
    }
}
