//! Users as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{User, UserId, UserRole};

/// A user as answers show them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UserView {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub role: UserRole,
    pub enabled: bool,
    pub dark_mode: bool,
    pub page_size: u8,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub last_login: Option<DateTime<Utc>>,
    pub created_by: Option<String>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            role: user.role,
            enabled: user.enabled,
            dark_mode: user.dark_mode,
            page_size: user.page_size,
            created_at: user.created_at,
            updated_at: user.updated_at,
            last_login: user.last_login,
            created_by: user.created_by,
        }
    }
}
