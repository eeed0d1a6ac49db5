//! Finds the one thing that a person means by an id or a display name. Pure.

use crate::text::on_one_line;

/// How many of the existing names an error shows.
const SHOWN: usize = 10;

/// Why no single thing is meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChooseError {
    /// Nothing is called so.
    #[error("no {what} has the id or the name \"{wanted}\"; {known}")]
    Unknown {
        /// What was looked for, such as `database`.
        what: &'static str,
        /// What the person wrote.
        wanted: String,
        /// Which ones there are.
        known: String,
    },
    /// Several things are called so.
    #[error("more than one {what} is called \"{wanted}\"; use one of the ids: {ids}")]
    Ambiguous {
        /// What was looked for.
        what: &'static str,
        /// What the person wrote.
        wanted: String,
        /// The ids of those that are called so.
        ids: String,
    },
}

/// Returns the thing with this id or, where no id fits, the only one with this name; the case of a name
/// does not matter. `key` returns the id and the name.
pub(crate) fn choose<'a, T>(
    what: &'static str,
    wanted: &str,
    all: &'a [T],
    key: impl Fn(&T) -> (&str, &str),
) -> Result<&'a T, ChooseError> {
    if let Some(found) = all.iter().find(|thing| key(thing).0 == wanted) {
        return Ok(found);
    }
    let plain = |name: &str| name.trim().to_lowercase();
    let named: Vec<&T> = all.iter().filter(|thing| plain(key(thing).1) == plain(wanted)).collect();
    match named.as_slice() {
        [found] => Ok(found),
        [] => {
            Err(ChooseError::Unknown { what, wanted: on_one_line(wanted), known: known(all, |t| key(t).1) })
        }
        several => {
            let ids: Vec<String> = several.iter().map(|thing| on_one_line(key(thing).0)).collect();
            Err(ChooseError::Ambiguous { what, wanted: on_one_line(wanted), ids: ids.join(", ") })
        }
    }
}

/// Says which names there are.
fn known<T>(all: &[T], name: impl Fn(&T) -> &str) -> String {
    let mut names: Vec<String> = all.iter().map(|thing| on_one_line(name(thing))).collect();
    names.sort();
    names.dedup();
    match names.len() {
        0 => "there is none yet".to_owned(),
        count if count <= SHOWN => format!("there are: {}", names.join(", ")),
        count => format!("there are: {} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const ALL: [(&str, &str); 4] =
        [("1", "Tea shop"), ("2", "Books"), ("3", "books "), ("Tea shop", "Confusing")];

    fn chosen(wanted: &str) -> Result<&'static str, String> {
        choose("database", wanted, &ALL, |&(id, name)| (id, name))
            .map(|found| found.1)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn ids_come_before_names_and_the_case_of_names_does_not_matter() {
        assert_eq!(chosen("1"), Ok("Tea shop"));
        assert_eq!(chosen("TEA SHOP"), Ok("Tea shop"));
        assert_eq!(chosen("Tea shop"), Ok("Confusing"));
    }

    #[test]
    fn errors_say_what_would_be_right() {
        insta::assert_snapshot!(chosen("BOOKS").unwrap_err(), @r#"more than one database is called "BOOKS"; use one of the ids: 2, 3"#);
        insta::assert_snapshot!(chosen("x\u{1b}").unwrap_err(), @r#"no database has the id or the name "x"; there are: Books, Confusing, Tea shop, books"#);
        let none: [(&str, &str); 0] = [];
        let error = choose("engine", "x", &none, |&(id, name)| (id, name)).unwrap_err();
        insta::assert_snapshot!(error, @r#"no engine has the id or the name "x"; there is none yet"#);
    }

    #[test]
    fn long_lists_are_cut() {
        let many: Vec<String> = (10..30).map(|number| format!("db{number}")).collect();
        let error = choose("database", "x", &many, |name| (name, name)).unwrap_err();
        assert!(error.to_string().ends_with("db18, db19 and 10 more"), "{error}");
    }
}
