//! Numbers and foreign texts as people are to see them. Pure.

use std::time::Duration;

/// Writes a size as everywhere in the product: bytes as they are, else two decimals to the base 1024.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut one: u128 = 1024;
    while u128::from(bytes) >= one * 1024 && unit + 1 < UNITS.len() {
        one *= 1024;
        unit += 1;
    }
    let hundredths = (u128::from(bytes) * 100 + one / 2) / one;
    format!("{}.{:02} {}", hundredths / 100, hundredths % 100, UNITS[unit])
}

/// Writes how many bytes a second went through; nothing while there was no time to tell.
pub(crate) fn rate(bytes: u64, time: Duration) -> Option<String> {
    let milliseconds = time.as_millis();
    if milliseconds == 0 || bytes == 0 {
        return None;
    }
    let rate = u128::from(bytes) * 1000 / milliseconds;
    Some(format!("{}/s", size(u64::try_from(rate).unwrap_or(u64::MAX))))
}

/// Writes a time as a clock would: `0:07`, `12:34`, `1:02:03`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 { format!("{minutes}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

/// Makes a text that somebody else wrote fit for one line of a terminal: what could move the cursor or
/// end the line becomes a space.
pub(crate) fn on_one_line(text: &str) -> String {
    let plain: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    plain.trim().to_owned()
}

/// Cuts a text to at most so many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Lines up rows in columns, the first row being the headings.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_decimals_of_the_largest_unit() {
        let texts = [0, 1023, 1024, 1536, 1_572_864, 1_073_741_824, 5 << 40, u64::MAX].map(size);
        assert_eq!(
            texts,
            ["0 B", "1023 B", "1.00 KB", "1.50 KB", "1.50 MB", "1.00 GB", "5.00 TB", "16777216.00 TB"]
        );
    }

    #[test]
    fn rates_need_time_and_bytes() {
        assert_eq!(rate(3 << 20, Duration::from_millis(1500)).as_deref(), Some("2.00 MB/s"));
        assert_eq!(rate(3, Duration::ZERO), None);
        assert_eq!(rate(0, Duration::from_secs(1)), None);
    }

    #[test]
    fn times_look_like_clocks() {
        assert_eq!(
            [7, 754, 3723].map(|seconds| clock(Duration::from_secs(seconds))),
            ["0:07", "12:34", "1:02:03"]
        );
    }

    #[test]
    fn foreign_texts_cannot_move_the_cursor() {
        assert_eq!(on_one_line("\u{1b}[2Jgone\nnext\u{9b}31m "), "[2Jgone next 31m");
        assert_eq!(cut("übermäßig", 5), "über…");
        assert_eq!(cut("über", 5), "über");
    }
}
