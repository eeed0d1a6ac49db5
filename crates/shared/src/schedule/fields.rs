//! The five fields of a cron expression, as users may write them.
//!
//! Stricter than most evaluators: names, `?`, `L`, `W`, `#`, `@daily`, a seventh weekday and a bare
//! number with a step are refused, because programs disagree about what some of them mean, and a
//! backup at another time than expected is not noticed for long.

use std::fmt;

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// There are more or fewer than five fields.
    #[error(
        "a schedule has five fields (minute, hour, day of month, month, day of week), not {found}; \
         \"0 2 * * *\" is every day at 02:00"
    )]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// A field cannot be read.
    #[error("\"{part}\" cannot be used in the field \"{field}\" of a schedule: {problem}")]
    Field {
        /// The field, for people.
        field: &'static str,
        /// The part of the field that is wrong, shortened.
        part: String,
        /// What is wrong with it.
        problem: FieldProblem,
    },
    /// No month of the schedule has the day.
    #[error("no month of the schedule has such a day, so it would never run")]
    Never,
    /// The time zone is not known.
    #[error("\"{name}\" is not a time zone; write a name such as Europe/Berlin or UTC after CRON_TZ=")]
    UnknownZone {
        /// What was given, shortened.
        name: String,
    },
}

/// What is wrong with a field of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldProblem {
    /// It is neither a star, a number, nor a range.
    Form,
    /// A number is outside of what the field can be.
    OutOfRange {
        /// The least number.
        least: u8,
        /// The greatest number.
        most: u8,
    },
    /// A range ends before it begins.
    Reversed,
    /// A step is no number of 1 or more.
    Step,
    /// A step comes after a single number.
    StepAfterNumber,
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2",
            ),
            Self::OutOfRange { least, most } => write!(f, "numbers go from {least} to {most}"),
            Self::Reversed => {
                f.write_str("a range must not end before it begins; write two ranges with a comma")
            }
            Self::Step => f.write_str("the step after / must be 1 or more"),
            Self::StepAfterNumber => f.write_str("a step needs a star or a range before it, such as 5-59/15"),
        }
    }
}

/// A field: its name for people and the numbers that it can hold.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59 },
    Field { name: "hour", least: 0, most: 23 },
    Field { name: "day of month", least: 1, most: 31 },
    Field { name: "month", least: 1, most: 12 },
    Field { name: "day of week (0 is Sunday)", least: 0, most: 6 },
];

/// The longest that each month can be, from January.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Reads an expression and returns the same one in its plainest form: for each field a star or a
/// list of numbers, which leaves nothing for an evaluator to interpret.
pub(super) fn plain(expression: &str) -> Result<String, InvalidSchedule> {
    let texts: Vec<_> = expression.split_ascii_whitespace().collect();
    if texts.len() != FIELDS.len() {
        return Err(InvalidSchedule::FieldCount { found: texts.len() });
    }
    let sets =
        FIELDS.iter().zip(texts).map(|(field, text)| field.parse(text)).collect::<Result<Vec<_>, _>>()?;
    if let [_, _, days, months, weekdays] = sets[..]
        && FIELDS[4].is_full(weekdays)
        && !(1..=12).any(|month: u8| {
            let within = (1 << (LONGEST[usize::from(month) - 1] + 1)) - 1;
            has(months, month) && days & within != 0
        })
    {
        return Err(InvalidSchedule::Never);
    }
    Ok(FIELDS.iter().zip(sets).map(|(field, set)| field.plain(set)).collect::<Vec<_>>().join(" "))
}

fn has(set: u64, number: u8) -> bool {
    set & (1 << number) != 0
}

impl Field {
    /// Reads a field into a set of bits.
    fn parse(&self, text: &str) -> Result<u64, InvalidSchedule> {
        text.split(',').try_fold(0, |set, part| {
            let numbers = self.part(part).map_err(|problem| InvalidSchedule::Field {
                field: self.name,
                part: shortened(part),
                problem,
            })?;
            Ok(numbers.fold(set, |set, number| set | 1 << number))
        })
    }

    fn part(&self, part: &str) -> Result<impl Iterator<Item = u8>, FieldProblem> {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(step)),
            None => (part, None),
        };
        let (first, last) = match span.split_once('-') {
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None if span == "*" => (self.least, self.most),
            None => {
                let number = self.number(span)?;
                if step.is_some() {
                    return Err(FieldProblem::StepAfterNumber);
                }
                (number, number)
            }
        };
        if last < first {
            return Err(FieldProblem::Reversed);
        }
        let step = match step {
            None => 1,
            Some(step) => digits(step).filter(|step| *step > 0).ok_or(FieldProblem::Step)?,
        };
        Ok((first..=last).step_by(step.into()))
    }

    fn number(&self, text: &str) -> Result<u8, FieldProblem> {
        let problem = FieldProblem::OutOfRange { least: self.least, most: self.most };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FieldProblem::Form);
        }
        digits(text).filter(|number| (self.least..=self.most).contains(number)).ok_or(problem)
    }

    fn is_full(&self, set: u64) -> bool {
        (self.least..=self.most).all(|number| has(set, number))
    }

    /// Writes a set as a star or a list. A full set is a star however it was written, which matters
    /// for the two day fields: only when both are restricted does either of them suffice.
    fn plain(&self, set: u64) -> String {
        if self.is_full(set) {
            return "*".to_owned();
        }
        let numbers = (self.least..=self.most).filter(|number| has(set, *number));
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// Reads a number of digits only; longer ones than three digits are refused.
fn digits(text: &str) -> Option<u8> {
    let plain = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn writes_every_form_plainly() {
        let table = [
            ("* * * * *", "* * * * *"),
            ("*/15 * * * *", "0,15,30,45 * * * *"),
            ("0 */6 * * *", "0 0,6,12,18 * * *"),
            ("0 0 * * 0", "0 0 * * 0"),
            (" 5  2\t1,15-17 */4 1-5 ", "5 2 1,15,16,17 1,5,9 1,2,3,4,5"),
            ("8-18/5,30 07 */1 1-12 0-6", "8,13,18,30 7 * * *"),
            ("*/90 */24 */31 */12 */7", "0 0 1 1 0"),
            ("0 0 31 1-3 *", "0 0 31 1,2,3 *"),
            ("0 0 30 2 1", "0 0 30 2 1"),
        ];
        for (given, plainly) in table {
            assert_eq!(plain(given).unwrap(), plainly, "{given}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let texts = [
            "",
            "0 2 * *",
            "0 0 2 * * *",
            "@daily",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "* * * * MON",
            "? * * * *",
            "5/15 * * * *",
            "*/0 * * * *",
            "*/x * * * *",
            "*/ * * * *",
            "5-1 * * * *",
            "1,,2 * * * *",
            "-5 * * * *",
            "1-2-3 * * * *",
            "+5 * * * *",
            "999999999999 * * * *",
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "0 0 L * *",
            "0 0 * * 1#2",
            "1.5 * * * *",
        ];
        let errors: Vec<_> =
            texts.iter().map(|text| format!("{text:?} {}", plain(text).unwrap_err())).collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        "" a schedule has five fields (minute, hour, day of month, month, day of week), not 0; "0 2 * * *" is every day at 02:00
        "0 2 * *" a schedule has five fields (minute, hour, day of month, month, day of week), not 4; "0 2 * * *" is every day at 02:00
        "0 0 2 * * *" a schedule has five fields (minute, hour, day of month, month, day of week), not 6; "0 2 * * *" is every day at 02:00
        "@daily" a schedule has five fields (minute, hour, day of month, month, day of week), not 1; "0 2 * * *" is every day at 02:00
        "60 * * * *" "60" cannot be used in the field "minute" of a schedule: numbers go from 0 to 59
        "* 24 * * *" "24" cannot be used in the field "hour" of a schedule: numbers go from 0 to 23
        "* * 0 * *" "0" cannot be used in the field "day of month" of a schedule: numbers go from 1 to 31
        "* * * 13 *" "13" cannot be used in the field "month" of a schedule: numbers go from 1 to 12
        "* * * * 7" "7" cannot be used in the field "day of week (0 is Sunday)" of a schedule: numbers go from 0 to 6
        "* * * * MON" "MON" cannot be used in the field "day of week (0 is Sunday)" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "? * * * *" "?" cannot be used in the field "minute" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "5/15 * * * *" "5/15" cannot be used in the field "minute" of a schedule: a step needs a star or a range before it, such as 5-59/15
        "*/0 * * * *" "*/0" cannot be used in the field "minute" of a schedule: the step after / must be 1 or more
        "*/x * * * *" "*/x" cannot be used in the field "minute" of a schedule: the step after / must be 1 or more
        "*/ * * * *" "*/" cannot be used in the field "minute" of a schedule: the step after / must be 1 or more
        "5-1 * * * *" "5-1" cannot be used in the field "minute" of a schedule: a range must not end before it begins; write two ranges with a comma
        "1,,2 * * * *" "" cannot be used in the field "minute" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "-5 * * * *" "-5" cannot be used in the field "minute" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "1-2-3 * * * *" "1-2-3" cannot be used in the field "minute" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "+5 * * * *" "+5" cannot be used in the field "minute" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "999999999999 * * * *" "999999999999" cannot be used in the field "minute" of a schedule: numbers go from 0 to 59
        "0 0 30 2 *" no month of the schedule has such a day, so it would never run
        "0 0 31 4,6 *" no month of the schedule has such a day, so it would never run
        "0 0 L * *" "L" cannot be used in the field "day of month" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "0 0 * * 1#2" "1#2" cannot be used in the field "day of week (0 is Sunday)" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "1.5 * * * *" "1.5" cannot be used in the field "minute" of a schedule: use *, a number, a range such as 1-5, a list such as 1,3, or a step such as */2 or 8-18/2
        "#);
    }
}
