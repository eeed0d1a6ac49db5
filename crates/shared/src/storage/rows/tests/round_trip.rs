//! Every noun comes back from its row as it went there, also over the wire.

use std::fmt::Debug;

use proptest::prelude::*;

use super::{nouns, read};
use crate::storage::rows::Row;
use crate::storage::table::{Entity, Key, Value};
use crate::storage::wire;

/// Checks that a noun survives its row, and that its row survives the noun. Nouns with secrets have
/// no equality of their own, so their rows are compared, which show what `Debug` hides.
fn survives<T: Row + Debug>(noun: &T) -> Result<T, TestCaseError> {
    let entity = noun.entity();
    entity.key.check().map_err(|error| TestCaseError::fail(error.to_string()))?;
    let direct = T::from_entity(&entity).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(format!("{direct:?}"), format!("{noun:?}"));
    prop_assert_eq!(&direct.entity(), &entity);
    let over_the_wire =
        read::<T>(&wire::entity(&entity)).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&over_the_wire.entity(), &entity);
    Ok(over_the_wire)
}

proptest! {
    #[test]
    fn backups(noun in nouns::backup()) {
        prop_assert_eq!(survives(&noun)?, noun);
    }

    #[test]
    fn databases(noun in nouns::database()) {
        survives(&noun)?;
    }

    #[test]
    fn engines(noun in nouns::engine()) {
        survives(&noun)?;
    }

    #[test]
    fn policies(noun in nouns::policy()) {
        prop_assert_eq!(survives(&noun)?, noun);
    }

    #[test]
    fn users(noun in nouns::user()) {
        prop_assert_eq!(survives(&noun)?, noun);
    }

    #[test]
    fn access_requests(noun in nouns::access_request()) {
        prop_assert_eq!(survives(&noun)?, noun);
    }

    #[test]
    fn audit_records(noun in nouns::audit_record()) {
        prop_assert_eq!(survives(&noun)?, noun);
    }

    #[test]
    fn settings(noun in nouns::settings()) {
        prop_assert_eq!(survives(&noun)?, noun);
    }

    /// A fraction that came back a hair different would look like somebody else's change.
    #[test]
    fn fractions(number in -1e9..1e9_f64) {
        let entity = Entity::new(Key::new("p", "r"), [("n".to_owned(), Value::Double(number))].into());
        let read = wire::read_entity(wire::entity(&entity).to_string().as_bytes());
        prop_assert_eq!(read.map_err(|error| TestCaseError::fail(error.to_string()))?, entity);
    }
}
