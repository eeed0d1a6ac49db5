//! What has to be known about a backup beside that it is complete.

use super::kinds::names;

names! {
    /// To which moment the rows of a dump belong.
    Consistency, "consistency" {
        /// All of them to one.
        Snapshot = "snapshot",
        /// Each table to the moment at which it was read: rows that were changed meanwhile in two tables
        /// may not fit together.
        PerTable = "per_table",
    }
}

/// The most texts that are kept.
const MOST: usize = 40;

/// The longest text, in bytes. All texts together stay below the 32 Ki characters of a row's property.
const LONGEST: usize = 400;

/// Texts for people about what a backup does not hold, or holds with a reserve. Bounded, without control
/// characters, each one once.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Warnings(Vec<String>);

impl Warnings {
    /// Returns the texts.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the first texts, and says in the last one how many there were besides.
    #[must_use]
    pub fn limited_to(&self, most: usize) -> Self {
        let most = most.min(MOST);
        if self.0.len() <= most {
            return self.clone();
        }
        let kept = most.saturating_sub(1);
        let mut texts = self.0[..kept].to_vec();
        if most > 0 {
            texts.push(format!("and {} more", self.0.len() - kept));
        }
        Self(texts)
    }
}

impl<T: AsRef<str>> FromIterator<T> for Warnings {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut all = Self::default();
        for text in texts {
            let text = cleaned(text.as_ref());
            if !text.is_empty() && !all.0.contains(&text) {
                all.0.push(text);
            }
        }
        all.limited_to(MOST)
    }
}

/// Makes one line of visible characters out of a text, and cuts it where it is too long.
fn cleaned(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > LONGEST {
        let mut end = LONGEST - "…".len();
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_single_lines_and_come_once() {
        let warnings: Warnings = ["a\r\n b", "", "\u{1b}", "a b", "c"].into_iter().collect();
        assert_eq!(warnings.as_slice(), ["a b", "c"]);
    }

    #[test]
    fn their_number_and_their_length_are_bounded() {
        let warnings: Warnings = (0..100).map(|number| format!("{number} {}", "é".repeat(300))).collect();
        assert_eq!(warnings.as_slice().len(), MOST);
        assert!(warnings.as_slice().iter().all(|text| text.len() <= LONGEST));
        assert_eq!(warnings.as_slice().last().map(String::as_str), Some("and 61 more"));
        assert_eq!(warnings.limited_to(1).as_slice(), ["and 40 more"]);
        assert_eq!(warnings.limited_to(0), Warnings::default());
    }

    #[test]
    fn what_was_kept_is_kept_again_as_it_is() {
        let once: Warnings = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(once.as_slice().iter().collect::<Warnings>(), once);
    }
}
