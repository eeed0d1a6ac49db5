//! The rules that concern more than one user, under races, deaths and faults.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;

use super::table::Table;
use super::{Fault, FaultyTable, Leaving, MemoryTable, StorageError, StorageErrorKind, TableCall, Users};
use crate::models::{User, UserId, UserRole};

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

fn user(id: &str, role: UserRole) -> User {
    User {
        id: id.parse().unwrap_or_else(|_| UserId::random()),
        email: format!("{id}@example.org"),
        name: id.to_owned(),
        role,
        enabled: true,
        dark_mode: false,
        page_size: 25,
        created_at: at(0),
        updated_at: at(0),
        last_login: None,
        created_by: None,
    }
}

/// A table in which callers that run side by side really alternate.
#[derive(Debug, Clone)]
struct Slow(MemoryTable);

#[async_trait::async_trait]
impl Table for Slow {
    async fn create(&self) -> Result<(), StorageError> {
        self.0.create().await
    }

    async fn insert(&self, entity: &super::table::Entity) -> Result<super::table::ETag, StorageError> {
        tokio::task::yield_now().await;
        self.0.insert(entity).await
    }

    async fn merge(
        &self,
        key: &super::table::Key,
        properties: &super::table::Properties,
        expect: &super::table::Expect,
    ) -> Result<super::table::ETag, StorageError> {
        tokio::task::yield_now().await;
        self.0.merge(key, properties, expect).await
    }

    async fn insert_or_merge(
        &self,
        key: &super::table::Key,
        properties: &super::table::Properties,
    ) -> Result<super::table::ETag, StorageError> {
        self.0.insert_or_merge(key, properties).await
    }

    async fn delete(
        &self,
        key: &super::table::Key,
        expect: &super::table::Expect,
    ) -> Result<(), StorageError> {
        tokio::task::yield_now().await;
        self.0.delete(key, expect).await
    }

    async fn get(&self, key: &super::table::Key) -> Result<Option<super::table::Entity>, StorageError> {
        tokio::task::yield_now().await;
        self.0.get(key).await
    }

    async fn query(
        &self,
        query: &super::table::Query,
        from: Option<&super::table::Continuation>,
    ) -> Result<super::table::Page, StorageError> {
        tokio::task::yield_now().await;
        self.0.query(query, from).await
    }
}

fn users() -> Users {
    Users { table: Arc::new(Slow(MemoryTable::default())) }
}

#[tokio::test]
async fn one_of_many_is_the_first_administrator() -> Result<(), StorageError> {
    let users = users();
    let ids: Vec<UserId> = (0..20).map(|n| user(&format!("u{n}"), UserRole::Admin).id).collect();
    let granted = join_all(ids.iter().map(|id| users.reserve_first_admin(id, at(0)))).await;
    let granted: Vec<bool> = granted.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(granted.iter().filter(|granted| **granted).count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_death_before_the_user_is_stored_locks_nobody_out() -> Result<(), StorageError> {
    let users = users();
    let (first, second) = (user("a", UserRole::Admin).id, user("b", UserRole::Admin).id);
    assert!(users.reserve_first_admin(&first, at(0)).await?);
    assert!(users.reserve_first_admin(&first, at(1)).await?, "its owner goes on");
    assert!(!users.reserve_first_admin(&second, at(9)).await?);
    assert!(users.reserve_first_admin(&second, at(10)).await?, "and later anybody does");
    assert!(!users.reserve_first_admin(&first, at(11)).await?);
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_does_not_lose_the_first_administrator() -> Result<(), StorageError> {
    let table = FaultyTable::new(MemoryTable::default());
    let users = Users { table: Arc::new(table.clone()) };
    let id = user("a", UserRole::Admin).id;
    table.fail_next(TableCall::Insert, Fault::Lose(StorageErrorKind::Unavailable));
    assert!(users.reserve_first_admin(&id, at(0)).await.is_err());
    assert!(users.reserve_first_admin(&id, at(0)).await?);
    Ok(())
}

#[tokio::test]
async fn emptiness_is_known_or_an_error() -> Result<(), StorageError> {
    let memory = MemoryTable::default();
    let table = FaultyTable::new(memory.clone());
    let users = Users { table: Arc::new(table.clone()) };
    assert!(users.is_empty().await?);
    users.reserve_first_admin(&user("a", UserRole::Admin).id, at(0)).await?;
    assert!(users.is_empty().await?, "a mark is no user");
    let unreadable = super::table::Entity::new(super::table::Key::new("users", "x"), [].into());
    memory.insert(&unreadable).await?;
    assert!(!users.is_empty().await?, "a row that cannot be read is a user");
    table.fail_next(TableCall::Query, Fault::Refuse(StorageErrorKind::Unavailable));
    assert!(users.is_empty().await.is_err());
    Ok(())
}

/// Demotes somebody as the API does.
async fn demote(users: &Users, id: &UserId) -> Result<Leaving, StorageError> {
    let leaving = users.reserve_leaving(id, at(0)).await?;
    if leaving == Leaving::Allowed {
        let stored = users.get(id).await?;
        let Some(stored) = stored else { return Ok(leaving) };
        users.update(&User { role: UserRole::Viewer, ..stored.value }, &stored.etag).await?;
        users.settle_leaving(id).await?;
    }
    Ok(leaving)
}

#[tokio::test]
async fn an_administrator_remains_when_all_are_demoted_at_once() -> Result<(), StorageError> {
    for count in [1, 2, 3, 5] {
        let users = users();
        let mut ids = Vec::new();
        for n in 0..count {
            let admin = user(&format!("admin{n}"), UserRole::Admin);
            users.insert(&admin).await?;
            ids.push(admin.id);
        }
        // Neither a disabled one, nor one who never came, nor a viewer is left to administer.
        users.insert(&User { enabled: false, ..user("off", UserRole::Admin) }).await?;
        users.insert(&user("pending-1", UserRole::Admin)).await?;
        users.insert(&user("viewer", UserRole::Viewer)).await?;
        let outcomes = join_all(ids.iter().map(|id| demote(&users, id))).await;
        let able = |user: &User| user.role == UserRole::Admin && user.enabled && !user.is_pending();
        let left = users.list().await?.into_iter().filter(able).count();
        assert!(left >= 1, "{count}: {outcomes:?}");
        let done = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Leaving::Allowed))).count();
        assert_eq!(left, count - done, "{outcomes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_forgotten_reservation_ends() -> Result<(), StorageError> {
    let users = users();
    let (one, two) = (user("a", UserRole::Admin), user("b", UserRole::Admin));
    users.insert(&one).await?;
    users.insert(&two).await?;
    assert_eq!(users.reserve_leaving(&one.id, at(0)).await?, Leaving::Allowed);
    assert_eq!(users.reserve_leaving(&two.id, at(9)).await?, Leaving::LastOne);
    assert_eq!(users.reserve_leaving(&one.id, at(9)).await?, Leaving::Allowed, "the same one may go on");
    assert_eq!(users.reserve_leaving(&two.id, at(20)).await?, Leaving::Allowed);
    Ok(())
}

#[tokio::test]
async fn a_registration_goes_to_one_owner() -> Result<(), StorageError> {
    let users = users();
    let pending = user("pending-1", UserRole::Operator);
    users.insert(&pending).await?;
    let owners: Vec<UserId> = ["a", "b"].map(|id| user(id, UserRole::Viewer).id).into();
    let won = join_all(owners.iter().map(|owner| users.reserve_pending(&pending.id, owner))).await;
    let won: Vec<bool> = won.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    for (owner, won) in owners.iter().zip(won) {
        assert_eq!(users.reserve_pending(&pending.id, owner).await?, won, "and stays with it");
    }
    Ok(())
}

#[tokio::test]
async fn small_changes_leave_rights_alone() -> Result<(), StorageError> {
    let users = users();
    let before = user("a", UserRole::Viewer);
    users.insert(&before).await?;
    users.note_login(&before.id, at(5)).await?;
    users.prefer(&before.id, Some(true), None).await?;
    users.prefer(&before.id, None, Some(50)).await?;
    users.prefer(&before.id, None, None).await?;
    let after = users.get(&before.id).await?.map(|stored| stored.value);
    let expected = User { dark_mode: true, page_size: 50, last_login: Some(at(5)), ..before };
    assert_eq!(after, Some(expected));
    Ok(())
}
